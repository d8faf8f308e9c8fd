/* The frame's behaviour on every page: clocks, keys, preferences, toasts, dialogs, kept text, the offline note.
   Plain scripts for Chromium 109. Pages work without it; every sentence comes from the layout's #frame-texts. */
'use strict';

const helan = (() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const meta = (name) => $(`meta[name="${name}"]`)?.content || '';
  const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  const text = (name, values = {}) => fill($('#frame-texts')?.dataset[name] || '', values);
  const icon = (name) => {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
    svg.setAttribute('class', 'i');
    svg.setAttribute('aria-hidden', 'true');
    use.setAttribute('href', `/static/icons.svg#i-${name}`);
    svg.append(use);
    return svg;
  };

  /* ---- time: the server's, ticked here; the PC's own clock may be minutes off ---- */
  const atLoad = Date.parse(meta('now')) || Date.now();
  const loadedAt = performance.now();
  let correction = 0;
  const now = () => atLoad + (performance.now() - loadedAt) + correction;

  /* performance.now may stand still while a laptop sleeps: an answer's Date header puts the clock right */
  const noteServerTime = (headerValue) => {
    const server = Date.parse(headerValue || '');
    if (server && Math.abs(server - now()) > 2000) correction += server - now();
  };

  const duration = (milliseconds) => {
    const whole = Math.floor(Math.abs(milliseconds) / 1000);
    const two = (n) => String(n).padStart(2, '0');
    const hours = Math.floor(whole / 3600);
    const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
    return hours ? `${hours}:${rest}` : rest;
  };

  const put = (node, words) => {
    if (node && node.textContent !== words) node.textContent = words;
  };
  const setTone = (node, tone) => {
    if (tone) node.dataset.tone = tone;
    else delete node.dataset.tone;
  };
  const setIcon = (node, name) => $('use', node)?.setAttribute('href', `/static/icons.svg#i-${name}`);

  const tickClock = (node) => {
    const due = Date.parse(node.dataset.due);
    const left = due - now();
    const span = node.dataset.from ? due - Date.parse(node.dataset.from) : 0;
    const used = left < 0 ? 100 : span > 0 ? Math.max(0, Math.min(100, Math.floor(100 * (1 - left / span)))) : 0;
    const tone = left < 0 ? 'red' : used >= 75 ? 'orange' : '';
    if ((node.dataset.tone || '') !== tone) {
      setTone(node, tone);
      setIcon(node, { red: 'warn', orange: 'hour', '': 'clock' }[tone]);
    }
    node.style.setProperty('--p', `${used}%`);
    put($('span', node), text(left < 0 ? 'clockOver' : 'clockLeft', { time: duration(left) }));
  };

  const tickLease = (node) => {
    const left = Date.parse(node.dataset.until) - now();
    setTone(node, left < 60000 ? 'orange' : 'blue');
    const words = left <= 0 ? text('leaseLapsed') : text(left < 60000 ? 'leaseEnding' : 'leaseMine', { time: duration(left) });
    put($('span', node), words);
    if (left <= 0 && !node.dataset.lapsed) {
      node.dataset.lapsed = 'yes';
      node.dispatchEvent(new CustomEvent('helan:lapsed', { bubbles: true }));
    } else if (left > 0) delete node.dataset.lapsed;
  };

  const tick = () => {
    $$('[data-due]').forEach(tickClock);
    $$('[data-until]').forEach(tickLease);
    $$('[data-since]').forEach((node) => put(node, duration(now() - Date.parse(node.dataset.since))));
    tickOffline();
  };

  /* ---- asking the server ---- */
  const csrf = () => meta('csrf');
  const LANG = () => (document.documentElement.lang.startsWith('zh') ? 'zh' : 'en');

  /* The sentence of a failed answer: the doors send {zh, en, number}. */
  const sentenceOf = async (response) => {
    try {
      const body = await response.clone().json();
      const words = body[LANG()] || body.detail?.[LANG()];
      if (words) return body.number ? `${words} (${body.number})` : words;
    } catch { /* not JSON: the general sentence */ }
    return text('failed');
  };

  const answered = (response) => {
    noteServerTime(response.headers.get('Date'));
    online();
    if (response.status === 401) signedOut();
    return response;
  };

  /* Sends and answers the Response; throws a TypeError when the network is away (the offline note is shown then).
     body: FormData, URLSearchParams, Blob or string as they are, an HTML form as its fields, a plain object as JSON. */
  const send = async (method, url, body, options = {}) => {
    const headers = { 'X-CSRF-Token': csrf(), Accept: 'application/json', ...options.headers };
    let content = body;
    if (body instanceof HTMLFormElement) content = new FormData(body);
    else if (body && Object.getPrototypeOf(body) === Object.prototype) {
      content = JSON.stringify(body);
      headers['Content-Type'] = 'application/json';
    }
    try {
      return answered(await fetch(url, { credentials: 'same-origin', ...options, method, headers, body: content }));
    } catch (error) {
      if (error.name !== 'AbortError') offline();
      throw error;
    }
  };
  const post = (url, body, options) => send('POST', url, body, options);

  /* A toast with the failed answer's sentence. */
  const fail = async (response) => toast(await sentenceOf(response), { icon: 'warn', tone: 'orange', seconds: 12 });

  /* ---- offline and signed out ---- */
  let offlineSince = 0;
  let probe = 0;
  const offline = () => {
    if (offlineSince) return;
    offlineSince = performance.now();
    tickOffline();
    $('#offline')?.removeAttribute('hidden');
    document.dispatchEvent(new CustomEvent('helan:offline'));
    probe = setInterval(() => {
      fetch('/health', { cache: 'no-store' }).then((r) => { if (r.status < 500) online(); }).catch(() => {});
    }, 5000);
  };
  const online = () => {
    if (!offlineSince) return;
    offlineSince = 0;
    clearInterval(probe);
    $('#offline')?.setAttribute('hidden', '');
    toast(text('online'), { icon: 'live', tone: 'green' });
    document.dispatchEvent(new CustomEvent('helan:online'));
  };
  const tickOffline = () => {
    if (offlineSince) put($('#offline span'), text('offline', { time: duration(performance.now() - offlineSince) }));
  };
  const signedOut = () => $('#signed-out')?.removeAttribute('hidden');

  /* ---- toasts and dialogs ---- */
  /* Shows words for some seconds. undo: a function; offers it for 8 s. act: {words, href}. Not for a critical value. */
  const toast = (words, { icon: name = 'ok', tone = '', seconds = 6, undo = null, act = null } = {}) => {
    const node = document.createElement('div');
    node.className = 'toast';
    setTone(node, tone);
    const said = document.createElement('span');
    said.textContent = words;
    node.append(icon(name), said);
    let left = undo ? 8 : seconds;
    const close = () => { clearInterval(timer); node.remove(); };
    if (undo) {
      const button = document.createElement('button');
      button.className = 'btn sm';
      const count = document.createElement('span');
      count.className = 'mute';
      button.append(`${text('undo')} `, count);
      count.textContent = text('seconds', { n: left });
      button.addEventListener('click', () => { close(); undo(); });
      node.append(button);
    }
    if (act) {
      const link = document.createElement('a');
      link.className = 'btn sm';
      link.href = act.href;
      link.textContent = act.words;
      node.append(link);
    }
    const timer = setInterval(() => {
      left -= 1;
      if (left <= 0) close();
      else if (undo) put($('.mute', node), text('seconds', { n: left }));
    }, 1000);
    $('#toasts')?.append(node);
    return close;
  };

  /* True when the person confirms. ok: the button's words; danger: the button is outlined red. */
  const ask = ({ title, text: words = '', ok = '', danger = false }) => new Promise((done) => {
    const dialog = $('#ask');
    put($('h2', dialog), title);
    put($('p', dialog), words);
    const yes = $('button[value="yes"]', dialog);
    put(yes, ok || text('confirm'));
    yes.className = danger ? 'btn dan' : 'btn pri';
    dialog.returnValue = 'no';
    dialog.addEventListener('close', () => done(dialog.returnValue === 'yes'), { once: true });
    dialog.showModal();
    $('button[value="no"]', dialog).focus();
  });

  /* ---- keys ---- */
  const extra = new Map(); // key -> {words, run}: keys that no button stands for (J, K in a list)
  const addKey = (key, words, run) => extra.set(normal(key), { key, words, run });

  const normal = (name) => {
    const parts = name.split('+');
    const last = parts.pop() || '+';
    const order = ['ctrl', 'alt', 'shift'].filter((m) => parts.some((p) => p.toLowerCase() === m));
    return [...order, last.length === 1 ? last.toLowerCase() : last].join('+');
  };
  const pressed = (event) => {
    const order = [];
    if (event.ctrlKey || event.metaKey) order.push('ctrl');
    if (event.altKey) order.push('alt');
    if (event.shiftKey && event.key.length > 1) order.push('shift'); // "?" is its own key, shift or not
    let key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.altKey && /^Digit\d$/.test(event.code || '')) key = event.code.slice(5);
    return [...order, key].join('+');
  };
  const writing = (node) => !!node && (node.isContentEditable || /^(TEXTAREA|SELECT)$/.test(node.tagName)
    || (node.tagName === 'INPUT' && !/^(button|submit|checkbox|radio|range|reset|file|color)$/.test(node.type)));
  const shown = (node) => !node.disabled && node.getClientRects().length > 0;

  /* True when the key was used. Also called with events forwarded from the viewer's frame. */
  const handleKey = (event) => {
    if (event.defaultPrevented || event.isComposing || event.keyCode === 229) return false; // IME: keys are its own
    const name = pressed(event);
    const single = !/^(ctrl|alt)\+/.test(name) && !/^(F\d+|Escape)$/.test(name);
    const inText = writing(event.target);
    if (inText && single) return false;
    const open = $$('dialog[open]').pop();
    if (open && (single || name === 'Escape')) return false; // a dialog's own keys
    if (name === 'Escape' && inText) { event.target.blur(); return true; }
    const press = /^(Enter| )$/.test(name) && event.target?.closest?.('button, a, summary');
    if (press) return false;
    const node = $$('[data-key]', open || document).find((n) => normal(n.dataset.key) === name && shown(n));
    if (node) {
      event.preventDefault();
      if (writing(node)) { node.focus(); node.select?.(); } else node.click();
      return true;
    }
    const own = extra.get(name);
    if (own && !open) { event.preventDefault(); own.run(event); return true; }
    if (name === '?') { event.preventDefault(); showKeys(); return true; }
    return false;
  };

  const wordsOf = (node) => {
    if (node.dataset.keyWords) return node.dataset.keyWords;
    if (node.ariaLabel || node.title) return node.ariaLabel || node.title;
    const copy = node.cloneNode(true);
    $$('kbd, svg, .menu', copy).forEach((n) => n.remove());
    return copy.textContent.trim() || node.placeholder || node.labels?.[0]?.textContent.trim() || '';
  };
  const showKeys = () => {
    const list = $('#key-help .keymap');
    const rows = new Map();
    $$('[data-key]').filter(shown).forEach((n) => rows.has(normal(n.dataset.key)) || rows.set(normal(n.dataset.key), [n.dataset.key, wordsOf(n)]));
    extra.forEach(({ key, words }, name) => rows.set(name, [key, words]));
    if (!rows.has('Escape')) rows.set('Escape', ['Escape', text('keyClose')]);
    rows.set('?', ['?', text('keyHelp')]);
    list.replaceChildren(...Array.from(rows.values()).flatMap(([key, words]) => {
      const dt = document.createElement('dt');
      key.split(/\+(?=.)/).forEach((part) => {
        const cap = document.createElement('kbd');
        cap.textContent = part === 'Escape' ? 'Esc' : part.length === 1 ? part.toUpperCase() : part;
        dt.append(cap, ' ');
      });
      const dd = document.createElement('dd');
      dd.textContent = words;
      return [dt, dd];
    }));
    $('#key-help').showModal();
  };

  /* ---- text not yet saved: data-guard on a form or field; data-keep="name" also keeps it in this tab ---- */
  const unsaved = new Set();
  let leaving = false;
  const guarded = (node) => node.closest?.('[data-guard], [data-keep]');
  const slot = (field) => `helan.keep.${field.dataset.keep}`;
  const touched = (event) => {
    const holder = guarded(event.target);
    if (!holder) return;
    unsaved.add(holder);
    const field = event.target.closest('[data-keep]');
    if (field) {
      try { sessionStorage.setItem(slot(field), JSON.stringify({ over: field.defaultValue, text: field.value })); } catch { /* full or forbidden */ }
    }
  };
  /* Tells that what the node (a form, a field) or, without one, the whole page holds is now at the center.
     texts: the field values as they were sent; a field changed since stays unsaved. */
  const saved = (node = document, texts = null) => {
    Array.from(unsaved).forEach((holder) => {
      const inside = node === document || node === holder || node.contains(holder);
      const later = texts && holder.name in texts && holder.value !== texts[holder.name];
      if (!inside || later) return;
      unsaved.delete(holder);
      [holder, ...$$('[data-keep]', holder)].filter((n) => n.dataset.keep).forEach((n) => {
        sessionStorage.removeItem(slot(n));
        n.defaultValue = n.value;
      });
    });
  };
  /* Puts kept text back where the server still has what it was written over. */
  const restore = () => {
    let found = false;
    $$('[data-keep]').forEach((field) => {
      let kept = null;
      try { kept = JSON.parse(sessionStorage.getItem(slot(field))); } catch { /* nothing kept */ }
      if (!kept || kept.text === field.value) return;
      if (kept.over === field.defaultValue) {
        field.value = kept.text;
        unsaved.add(guarded(field));
        found = true;
        field.dispatchEvent(new Event('input', { bubbles: true }));
      } else sessionStorage.removeItem(slot(field));
    });
    if (found) toast(text('restored'), { icon: 'draft', tone: 'blue' });
  };

  /* ---- preferences ---- */
  const OTHER = { theme: { dark: 'light', light: 'dark' }, density: { dense: 'roomy', roomy: 'dense' } };
  const prefer = (name) => {
    const root = document.documentElement.dataset;
    root[name] = OTHER[name][root[name]] || OTHER[name].light || 'dense';
    if (name === 'theme') $('meta[name="color-scheme"]').content = root.theme;
    $$(`[data-act="${name}"]`).forEach((button) => { button.value = OTHER[name][root[name]]; });
    document.dispatchEvent(new CustomEvent('helan:preference', { detail: { [name]: root[name] } }));
    post('/preferences', new URLSearchParams({ [name]: root[name] })).catch(() => {});
  };

  /* ---- the page's own event stream, for the mark in the bar ---- */
  const live = (well) => {
    const node = $('#live');
    if (!node) return;
    setTone(node, well ? 'green' : 'orange');
    setIcon(node, well ? 'live' : 'off');
    put($('span', node), text(well ? 'live' : 'liveLost'));
  };

  /* ---- start ---- */
  document.addEventListener('keydown', handleKey);
  document.addEventListener('input', touched);
  document.addEventListener('click', async (event) => {
    const button = event.target.closest('[data-act="theme"], [data-act="density"]');
    if (button) { event.preventDefault(); prefer(button.dataset.act); return; }
    const asking = event.target.closest('[data-confirm]');
    if (asking && !asking.dataset.confirmed) {
      event.preventDefault();
      event.stopImmediatePropagation();
      const yes = await ask({ title: asking.dataset.confirm, text: asking.dataset.confirmText, ok: asking.dataset.confirmOk, danger: asking.classList.contains('dan') });
      if (yes) { asking.dataset.confirmed = 'yes'; asking.click(); delete asking.dataset.confirmed; }
      return;
    }
    $$('details.pop[open]').forEach((d) => { if (!d.contains(event.target)) d.open = false; });
    const locate = event.target.closest('[data-locate]');
    if (locate) locate.dispatchEvent(new CustomEvent('helan:locate', { bubbles: true, detail: locate.dataset.locate }));
  }, true);
  document.addEventListener('submit', (event) => {
    if (event.target.matches('[data-sign-out]')) { sessionStorage.clear(); return; }
    // a plain form that carries its guarded fields along saves them
    Array.from(unsaved).forEach((h) => { if (h === event.target || h.form === event.target) leaving = true; });
  });
  window.addEventListener('beforeunload', (event) => {
    if (leaving || unsaved.size === 0) return;
    event.preventDefault();
    event.returnValue = text('unsaved');
  });
  window.addEventListener('pageshow', () => { leaving = false; });
  window.addEventListener('offline', offline);
  window.addEventListener('online', () => fetch('/health', { cache: 'no-store' }).then(online).catch(() => {}));
  window.addEventListener('message', (event) => {
    if (event.origin === location.origin && event.data?.type === 'ohif-401') signedOut();
  });

  /* htmx, where a page loads it */
  document.addEventListener('htmx:configRequest', (event) => { event.detail.headers['X-CSRF-Token'] = csrf(); });
  document.addEventListener('htmx:sendError', offline);
  document.addEventListener('htmx:afterRequest', (event) => {
    const asked = event.detail.xhr;
    if (!asked?.status) return;
    noteServerTime(asked.getResponseHeader('Date'));
    online();
    if (asked.status === 401) signedOut();
  });
  document.addEventListener('htmx:responseError', (event) => {
    const asked = event.detail.xhr;
    if (asked.status !== 401) fail(new Response(asked.responseText, { status: asked.status }));
  });
  document.addEventListener('htmx:sseOpen', () => live(true));
  document.addEventListener('htmx:sseError', () => live(false));
  document.addEventListener('htmx:afterSettle', () => tick());

  const start = () => { restore(); tick(); setInterval(tick, 1000); };
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start);
  else start();

  return {
    now, duration, text, post, send, fail, sentenceOf, toast, ask, saved, live, offline, online, signedOut,
    keys: { add: addKey, handle: handleKey, show: showKeys },
  };
})();
window.helan = helan;
