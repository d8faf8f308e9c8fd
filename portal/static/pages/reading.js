/* The reading page: the lease's heartbeat, the editor and its autosave, answers to machine findings, the gate. */
'use strict';

(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const form = $('#report');
  const at = `/cases/${encodeURIComponent(form.dataset.case)}`;
  const kept = `helan.draft.${form.dataset.case}`;
  const words = form.dataset;
  const say = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  const texts = () => $$('textarea[form="report"], input.in[form="report"]');
  const field = (name) => form.elements[name];
  const content = () => JSON.stringify(texts().map((n) => n.value));
  let savedContent = content();
  let lost = false;
  let conflict = false;
  let active = true;

  const status = (sentence, tone = '') => {
    const node = $('#saved');
    node.textContent = sentence;
    node.style.color = tone ? 'var(--t)' : '';
    if (tone) node.dataset.tone = tone;
    else delete node.dataset.tone;
  };
  const hour = () => new Date(helan.now()).toLocaleTimeString('en-GB', { hour12: false, timeZone: words.zone });

  /* ---- text on this PC, only while the center does not have it ---- */
  const keep = () => {
    try {
      localStorage.setItem(kept, JSON.stringify({ at: Date.now(), base: field('base_version').value, texts: texts().map((n) => [n.name, n.value]) }));
    } catch { /* full or forbidden */ }
  };
  const drop = () => { try { localStorage.removeItem(kept); } catch { /* forbidden */ } };
  const put = (values) => {
    values.forEach(([name, value]) => { if (field(name)) field(name).value = value; });
    texts().forEach((n) => n.dispatchEvent(new Event('input', { bubbles: true })));
  };
  const restore = () => {
    let found = null;
    try { found = JSON.parse(localStorage.getItem(kept)); } catch { /* nothing */ }
    if (!found) return;
    if (JSON.stringify(found.texts.map(([, v]) => v)) === content()) { drop(); return; }
    if (found.base !== field('base_version').value) return; // the center has newer text: this stays aside for a day
    put(found.texts);
    helan.toast(words.restored, { icon: 'draft', tone: 'blue' });
  };

  /* ---- saving ---- */
  let running = null;
  const save = async () => {
    if (running) await running;
    if (lost || conflict) return false;
    if (content() === savedContent) return true;
    running = send();
    try { return await running; } finally { running = null; }
  };
  const send = async () => {
    const sentContent = content();
    const body = new URLSearchParams(new FormData(form));
    status(words.saving);
    let answer;
    try {
      answer = await helan.post(`${at}/draft`, body);
    } catch {
      keep();
      status(words.held, 'orange');
      return false;
    }
    if (answer.ok) {
      field('base_version').value = (await answer.json()).version;
      savedContent = sentContent;
      helan.saved(document, Object.fromEntries(body));
      if (content() === sentContent) drop();
      $('#draft-version').textContent = say(words.draft, { n: field('base_version').value });
      status(say(words.saved, { time: hour() }));
      refresh();
      return true;
    }
    keep();
    status(words.unsaved, 'orange');
    if (answer.status === 409) await refused(answer);
    else if (answer.status !== 401) helan.fail(answer);
    return false;
  };
  const refused = async (answer) => {
    const body = await answer.clone().json().catch(() => ({}));
    if (body.failure === 'held_by_another') lose(await helan.sentenceOf(answer));
    else if (body.facts?.current !== undefined) {
      conflict = true;
      $('#other-window').hidden = false;
      $('#other-window').dataset.current = body.facts.current;
    } else helan.fail(answer);
  };
  $('#load-other').addEventListener('click', () => { drop(); helan.saved(); location.reload(); });
  $('#keep-mine').addEventListener('click', () => {
    field('base_version').value = $('#other-window').dataset.current;
    $('#other-window').hidden = true;
    conflict = false;
    save();
  });

  /* The lease is not ours any more: what is written goes to the center once more, to be kept aside. */
  const lose = async (sentence) => {
    if (lost) return;
    lost = true;
    if (content() !== savedContent) {
      try {
        const answer = await helan.post(`${at}/draft`, new URLSearchParams(new FormData(form)));
        if (answer.status === 409) { drop(); helan.saved(); }
      } catch { keep(); }
    } else helan.saved();
    $('#lost-words').textContent = sentence;
    $('#lost').hidden = false;
    texts().forEach((n) => { n.readOnly = true; });
    $('#go').setAttribute('aria-disabled', 'true');
  };

  /* ---- the lease ---- */
  const beat = async () => {
    if (lost) return;
    const body = new URLSearchParams({ token: field('token').value, active: active ? '1' : '0' });
    active = false;
    try {
      const answer = await helan.post(`${at}/heartbeat`, body);
      if (answer.status === 409) await refused(answer);
      else if (answer.ok) await refresh();
    } catch { /* offline: the next beat tells */ }
  };
  setInterval(beat, 30000);
  ['keydown', 'pointerdown', 'wheel', 'pointermove', 'helan:active'].forEach((name) => document.addEventListener(name, () => { active = true; }, { passive: true }));
  document.addEventListener('helan:lapsed', () => setTimeout(beat, 500));
  document.addEventListener('helan:online', () => { save(); beat(); });

  /* ---- what the server knows better: the gate, machine findings, late images, alarms ---- */
  const LIVE = ['crits', 'lease', 'images', 'machine', 'asked', 'gate', 'alerts', 'phrases'];
  const signature = (node) => {
    const copy = node.cloneNode(true);
    $$('[data-since], [data-until] span', copy).forEach((n) => { n.textContent = ''; });
    $$('[data-until]', copy).forEach((n) => n.removeAttribute('data-tone'));
    $$('details[open]', copy).forEach((n) => n.removeAttribute('open'));
    return copy.outerHTML;
  };
  const refresh = async (force = false) => {
    try {
      const answer = await helan.send('GET', `${at}/live`, undefined, { headers: { Accept: 'text/html' } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      LIVE.forEach((id) => {
        const old = document.getElementById(id);
        const now = fresh.getElementById(id);
        if (!old || !now || signature(old) === signature(now)) return;
        const busy = old.contains(document.activeElement) || $('details[open]', old);
        if (force || !busy) old.replaceWith(now);
      });
      gateChanged();
    } catch { /* offline */ }
  };
  const gateChanged = () => {
    const blocked = Number($('#gate')?.dataset.blocked || 0);
    $('#go').classList.toggle('pri', !blocked);
    $('#go').title = blocked ? say(words.blocked, { n: blocked }) : '';
    return blocked;
  };

  /* ---- forms that stay on this page, and those that leave it ---- */
  const fieldsOf = (node, submitter) => {
    const body = new URLSearchParams(new FormData(node)); // Chromium 109 knows no FormData(form, submitter)
    if (submitter?.name) body.append(submitter.name, submitter.value);
    if (!body.has('token')) body.append('token', field('token').value);
    return body;
  };
  document.addEventListener('submit', async (event) => {
    const node = event.target;
    if (node === form) { event.preventDefault(); if (event.submitter?.id === 'save') { await save(); } else { await preview(); } return; }
    if (node.matches('[data-verdict], [data-act]')) {
      event.preventDefault();
      const answer = await helan.post(node.action, fieldsOf(node, event.submitter)).catch(() => null);
      if (!answer) return;
      if (!answer.ok) { if (answer.status === 409) await refused(answer); else if (answer.status !== 401) helan.fail(answer); return; }
      $$('details[open]', node.closest('section, aside') || document).forEach((d) => { d.open = false; });
      node.closest('details')?.removeAttribute('open');
      if (node.matches('[data-act]')) node.reset();
      refresh(true);
    } else if (node.matches('[data-leave]')) {
      event.preventDefault();
      if (!(await save()) && !lost) return;
      helan.saved();
      if (event.submitter?.name) {
        const chosen = document.createElement('input');
        chosen.type = 'hidden';
        chosen.name = event.submitter.name;
        chosen.value = event.submitter.value;
        node.append(chosen);
      }
      node.submit();
    }
  });
  const preview = async () => {
    if (lost || !(await save())) return;
    await refresh(true);
    const blocked = gateChanged();
    if (blocked) {
      helan.toast(say(words.blocked, { n: blocked }), { icon: 'warn', tone: 'orange' });
      jump($('#gate [data-jump]')?.dataset.jump);
      return;
    }
    helan.saved();
    $('#go').setAttribute('aria-busy', 'true');
    form.submit();
  };
  document.addEventListener('click', async (event) => {
    const link = event.target.closest('.strip a[href], a[data-compare]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.dataset.compare && window.helanViewer) { window.helanViewer.compare(link); return; }
    if ((await save()) || lost) { helan.saved(); location.assign(link.href); } else location.assign(link.href); // not saved: the browser asks
  });

  /* ---- jumps ---- */
  const selectBlank = (area) => { // what a template left open: typing replaces it
    const blank = area?.matches('textarea') && /【[^】\n]{1,12}】|\[(?:side|leads)\]/i.exec(area.value);
    if (blank) area.setSelectionRange(blank.index, blank.index + blank[0].length);
  };
  const jump = (name) => {
    const target = name === 'question' ? $$('#question input.in').find((n) => !n.value.trim()) || $('#question input.in') : document.getElementById(name);
    if (!target) return;
    target.scrollIntoView({ block: 'center' });
    const control = target.matches('textarea, input') ? target : $('summary, button:not(.sr)', target);
    control?.focus();
    selectBlank(control);
  };
  document.addEventListener('click', (event) => {
    const link = event.target.closest('[data-jump]');
    if (link) { event.preventDefault(); jump(link.dataset.jump); }
  });

  /* ---- templates, phrases, where sentences come from ---- */
  const editor = ['findings', 'impression', 'recommendation'];
  let last = field('findings');
  document.addEventListener('focusin', (event) => { if (event.target.matches('textarea[form="report"]')) last = event.target; });
  const fill = (button) => {
    const before = editor.map((name) => [name, field(name).value]);
    put(editor.map((name) => [name, button.dataset[name] || '']));
    if (button.dataset.template) field('template').value = button.dataset.template;
    button.closest('details').open = false;
    field('findings').focus();
    selectBlank(field('findings'));
    if (before.some(([, v]) => v.trim())) helan.toast(button.textContent.trim(), { icon: 'draft', undo: () => put(before) });
  };
  const insert = (phrase) => {
    last.focus();
    if (!document.execCommand('insertText', false, phrase)) { // keeps the browser's own undo where it can
      last.setRangeText(phrase, last.selectionStart, last.selectionEnd, 'end');
      last.dispatchEvent(new Event('input', { bubbles: true }));
    }
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-fill], [data-phrase], [data-critical]');
    if (!button) return;
    if ('fill' in button.dataset) fill(button);
    else if (button.dataset.critical) {
      const owner = button.closest('form');
      owner.elements.finding.value = button.dataset.critical;
      owner.elements.finding_key.value = button.dataset.criticalKey;
      owner.elements.finding.focus();
    } else { button.closest('details').open = false; insert(button.dataset.phrase); }
  });
  document.addEventListener('input', (event) => { if (event.target.id === 'critical-finding') event.target.form.elements.finding_key.value = ''; });
  const phrases = () => $$('#phrases [data-phrase]');
  for (let n = 1; n <= 9; n += 1) helan.keys.add(`Alt+${n}`, `${words.phrase} ${n}`, () => { const p = phrases()[n - 1]; if (p) insert(p.dataset.phrase); });
  helan.keys.add('Ctrl+s', $('#save').dataset.keyWords, () => save());

  const sentences = (text) => text.split(/(?<=[。；;！？!?\n])|(?<=\.\s)/).map((s) => s.replace(/^\s*\d+[.、]\s*/, '').trim()).filter(Boolean);
  const known = new Set($$('#templates [data-fill]').flatMap((b) => editor.flatMap((name) => sentences(b.dataset[name] || ''))));
  const origins = () => {
    const all = editor.flatMap((name) => sentences(field(name).value));
    const machine = new Set($$('#phrases [data-origin]').map((b) => b.dataset.phrase.trim()));
    const from = (set) => all.filter((s) => set.has(s)).length;
    const counts = { machine: from(machine), template: all.filter((s) => known.has(s) && !machine.has(s)).length };
    counts.own = all.length - counts.machine - counts.template;
    $('#origins').textContent = all.length ? say(words.sentences, counts) : '';
  };

  /* ---- menus by keyboard ---- */
  document.addEventListener('toggle', (event) => {
    const menu = event.target;
    if (!menu.matches?.('details.pop') || !menu.open) return;
    const first = menu.id === 'critical' ? $('input[name="finding"]', menu) : $('.menu button:not(.sr), .menu input:not([type="hidden"])', menu);
    first?.focus();
  }, true);
  document.addEventListener('keydown', (event) => {
    const menu = $('details.pop[open]');
    if (!menu || $('dialog[open]')) return;
    if (event.key === 'Escape') { menu.open = false; $('summary', menu).focus(); event.preventDefault(); event.stopPropagation(); return; }
    if (!/^Arrow(Up|Down)$/.test(event.key) || !menu.contains(document.activeElement) || document.activeElement.matches('input')) return;
    const all = $$('.menu button:not(.sr), .menu summary, .menu input.in', menu).filter((n) => n.getClientRects().length);
    const next = all[all.indexOf(document.activeElement) + (event.key === 'ArrowDown' ? 1 : -1)];
    if (next) { next.focus(); event.preventDefault(); }
  }, true);

  /* ---- start ---- */
  let typed = 0;
  document.addEventListener('input', (event) => {
    if (event.target.form !== form) return;
    clearTimeout(typed);
    typed = setTimeout(() => { if (content() !== savedContent) keep(); }, 400);
    if (!lost && !conflict) status(content() === savedContent ? '' : words.unsaved);
    origins();
  });
  setInterval(save, 5000);
  document.addEventListener('visibilitychange', () => { if (document.visibilityState === 'hidden') save(); });
  restore();
  origins();
  gateChanged();
  if (location.hash) jump(decodeURIComponent(location.hash.slice(1)));
})();
