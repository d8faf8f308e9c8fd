/* The reader's list: keys, preview, search as typed, and news by the event stream that never moves the row in hand. */
'use strict';

(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const main = $('#main');
  const preview = $('#preview');
  const texts = $('#list-texts').dataset;
  const WIDE = window.matchMedia('(min-width: 1181px)');
  let query = new URLSearchParams(main.dataset.query);
  let pending = null; // the newest answer, held back while a row is in hand

  $$('.no-js').forEach((node) => { node.hidden = true; });

  /* ---- what stays when nothing but time went by ---- */
  const signature = (node) => {
    const copy = node.cloneNode(true);
    $$('[data-due]', copy).forEach((n) => { n.removeAttribute('style'); n.removeAttribute('data-tone'); n.textContent = ''; });
    $$('[data-since]', copy).forEach((n) => { n.textContent = ''; });
    copy.removeAttribute('tabindex');
    copy.removeAttribute('aria-selected');
    copy.classList.remove('gone');
    return copy.outerHTML;
  };
  const swap = (selector, from) => {
    const old = $(selector);
    const fresh = $(selector, from);
    if (old && fresh && !old.contains(document.activeElement) && signature(old) !== signature(fresh)) old.replaceWith(fresh);
  };

  /* ---- rows ---- */
  const rows = () => $$('#rows tr');
  const rowOf = (id) => rows().find((r) => r.dataset.case === id);
  const selected = () => rows().find((r) => r.getAttribute('aria-selected') === 'true');
  const mark = (row) => {
    rows().forEach((r) => {
      r.setAttribute('aria-selected', r === row ? 'true' : 'false');
      r.tabIndex = r === row ? 0 : -1;
    });
  };
  let asked = null;
  const show = async (id) => {
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await helan.send('GET', `/worklist/preview/${encodeURIComponent(id)}`, undefined, { headers: { Accept: 'text/html' }, signal: asked.signal });
      if (!answer.ok) return;
      const html = await answer.text();
      if (preview.contains(document.activeElement) || $('details[open]', preview)) return;
      preview.replaceChildren(...new DOMParser().parseFromString(html, 'text/html').body.childNodes);
    } catch { /* away, or another row by now */ }
  };
  let soon = 0;
  const select = (row, focus = true) => {
    if (!row) return;
    mark(row);
    if (focus) { row.focus({ preventScroll: true }); row.scrollIntoView({ block: 'nearest' }); }
    clearTimeout(soon);
    const shown = $('[data-preview]', preview)?.dataset.preview;
    if (shown !== row.dataset.case) soon = setTimeout(() => show(row.dataset.case), 120);
  };
  const move = (step) => {
    const all = rows();
    const at = all.indexOf(selected());
    const inHand = $('#rows')?.contains(document.activeElement);
    select(all[Math.max(0, Math.min(all.length - 1, inHand ? at + step : Math.max(at, 0)))]);
  };
  const peek = (on) => document.body.classList.toggle('peek', on);
  const open = () => {
    const row = selected();
    if (!row) return;
    if (!WIDE.matches) peek(true);
    setTimeout(() => $('[data-go]', preview)?.focus(), 160);
  };

  helan.keys.add('j', texts.move, () => move(1));
  helan.keys.add('k', texts.move, () => move(-1));
  helan.keys.add('ArrowDown', texts.move, () => move(1));
  helan.keys.add('ArrowUp', texts.move, () => move(-1));
  helan.keys.add('Enter', texts.preview, open);
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || $('dialog[open]')) return;
    const menu = $('details.pop[open]');
    if (menu) { menu.open = false; $('summary', menu).focus(); event.preventDefault(); return; }
    if (document.body.classList.contains('peek') || preview.contains(document.activeElement)) {
      peek(false);
      selected()?.focus();
      event.preventDefault();
    }
  }, true);
  document.addEventListener('click', (event) => {
    const row = event.target.closest('#rows tr');
    if (row) {
      event.preventDefault();
      select(row);
      if (!WIDE.matches) peek(true);
    } else if (event.target.closest('#fresh')) { event.preventDefault(); apply(pending, true); } else if (document.body.classList.contains('peek') && !preview.contains(event.target)) peek(false);
  });
  document.addEventListener('toggle', (event) => {
    if (event.target.matches?.('details.pop') && event.target.open) $('.menu button:not(.sr)', event.target)?.focus();
  }, true);
  document.addEventListener('dblclick', (event) => {
    const row = event.target.closest('#rows tr');
    if (row) location.assign(`/cases/${encodeURIComponent(row.dataset.case)}`);
  });

  /* ---- news ---- */
  const inHand = () => {
    const list = $('#list');
    return list.contains(document.activeElement) || list.matches(':hover');
  };
  const apply = (fresh, force = false) => {
    if (!fresh) return;
    ['#crits', '#next', '#tabs'].forEach((selector) => swap(selector, fresh));
    const count = $('[data-count]', fresh)?.dataset.count;
    if (count) $('#count').textContent = count;
    if (force || !inHand() || !$('#rows') || !$('#rows', fresh)) {
      const chosen = selected()?.dataset.case;
      const list = $('#list');
      const top = list.scrollTop;
      const held = $('#rows')?.contains(document.activeElement);
      const changed = chosen && rowOf(chosen) && signature(rowOf(chosen));
      list.replaceChildren(...$('#list', fresh).childNodes);
      list.scrollTop = top;
      const row = rowOf(chosen) || rows()[0];
      if (row) {
        mark(row);
        if (held) row.focus({ preventScroll: true });
        if (row.dataset.case !== chosen || signature(row) !== changed) show(row.dataset.case);
      }
      pending = null;
      $('#fresh').hidden = true;
      return;
    }
    pending = fresh;
    const now = new Map($$('#rows tr', fresh).map((r) => [r.dataset.case, r]));
    let added = now.size;
    rows().forEach((row) => {
      const other = now.get(row.dataset.case);
      row.classList.toggle('gone', !other);
      if (!other) { row.title = texts.left; return; }
      added -= 1;
      if (signature(row) === signature(other)) return;
      row.replaceChildren(...other.cloneNode(true).childNodes);
      if (row === selected()) show(row.dataset.case);
    });
    const button = $('#fresh');
    $('span', button).textContent = texts.fresh.replace('{n}', added);
    button.hidden = added < 1;
  };
  let reading = null;
  let again = false;
  const refresh = async (force = false) => {
    if (reading && !force) { again = true; return; } // what is asked already is not asked once more
    reading?.abort();
    const asked = new AbortController();
    reading = asked;
    try {
      const answer = await helan.send('GET', `/worklist/live?${query}`, undefined, { headers: { Accept: 'text/html' }, signal: asked.signal });
      if (!answer.ok) return;
      apply(new DOMParser().parseFromString(await answer.text(), 'text/html'), force);
    } catch { /* away: the stream's next word tries again */ } finally {
      if (asked === reading) reading = null;
      if (!reading && again) { again = false; news(); }
    }
  };
  // one reading for a burst of news, and not all lists of a region in the same moment
  let waiting = 0;
  const news = () => {
    if (waiting) return;
    waiting = setTimeout(() => { waiting = 0; refresh(); }, 500 + Math.random() * 1000);
  };
  document.addEventListener('focusout', () => setTimeout(() => { if (pending && !inHand()) apply(pending); }, 300));
  $('#list').addEventListener('mouseleave', () => { if (pending && !inHand()) apply(pending); });

  let first = true;
  const listen = () => {
    const stream = new EventSource('/events');
    stream.addEventListener('open', () => helan.live(true));
    stream.addEventListener('error', () => helan.live(false));
    stream.addEventListener('hello', () => { if (!first) refresh(); first = false; });
    stream.addEventListener('change', news);
    stream.addEventListener('alert', news);
    window.addEventListener('pagehide', () => stream.close());
  };
  window.addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
  listen();
  setInterval(news, 60000); // time alone may have moved a case into another view
  document.addEventListener('helan:online', () => refresh());

  /* ---- filters: as typed, the address follows ---- */
  const filters = () => $('#filters');
  const narrow = async () => {
    const fields = Array.from(new FormData(filters())).filter(([, value]) => value);
    query = new URLSearchParams(fields);
    history.replaceState(null, '', `/worklist${query.toString() ? `?${query}` : ''}`);
    $$('select', filters()).forEach((s) => s.classList.toggle('on', s.value !== ''));
    await refresh(true);
    const old = $('#clear');
    const wanted = fields.some(([name]) => name !== 'view');
    if (old) old.hidden = !wanted;
    else if (wanted) {
      const link = document.createElement('a');
      link.id = 'clear';
      link.className = 'btn bare sm';
      link.href = query.get('view') ? `/worklist?view=${query.get('view')}` : '/worklist';
      link.textContent = texts.clear;
      $('.no-js', filters()).after(link);
    }
  };
  let typing = 0;
  document.addEventListener('input', (event) => {
    if (!event.target.matches('#filters input')) return;
    clearTimeout(typing);
    typing = setTimeout(() => { if (!event.isComposing) narrow(); }, 400);
  });
  document.addEventListener('compositionend', (event) => { if (event.target.matches('#filters input')) { clearTimeout(typing); typing = setTimeout(narrow, 400); } });
  document.addEventListener('change', (event) => { if (event.target.matches('#filters select')) narrow(); });
  document.addEventListener('submit', (event) => { if (event.target === filters()) { event.preventDefault(); clearTimeout(typing); narrow(); } });

  /* ---- texts kept on this PC by a reading page that was closed offline: not longer than a day ---- */
  try {
    Object.keys(localStorage).filter((k) => k.startsWith('helan.draft.')).forEach((key) => {
      const at = JSON.parse(localStorage.getItem(key))?.at || 0;
      if (Date.now() - at > 86400000) localStorage.removeItem(key);
    });
  } catch { /* forbidden: nothing is kept either */ }

  /* ---- the viewer's large files, before they are needed ---- */
  const prefetch = async () => {
    if (navigator.connection?.saveData) return;
    try {
      const page = await (await fetch('/ohif/index.html')).text();
      const parsed = new DOMParser().parseFromString(page, 'text/html');
      $$('script[src], link[rel="stylesheet"][href]', parsed).map((n) => n.getAttribute('src') || n.getAttribute('href'))
        .filter((href) => href.startsWith('/ohif/')).forEach((href) => {
          const link = document.createElement('link');
          link.rel = 'prefetch';
          link.href = href;
          document.head.append(link);
        });
    } catch { /* no viewer installed */ }
  };
  if ('requestIdleCallback' in window) requestIdleCallback(prefetch, { timeout: 4000 });
  else setTimeout(prefetch, 2000);
})();
