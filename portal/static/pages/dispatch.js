/* A page with [data-live] parts (dispatch, clinic) keeps itself up to date without ever taking away what is being typed: a card that somebody
   works in keeps its form, only its head is renewed; everything else is put in place anew. Chromium 109. */
'use strict';

(() => {
  const REGIONS = '[data-live]';
  const THROTTLE_MS = Number(document.querySelector('[data-live-every]')?.dataset.liveEvery) || 500; // a thin line asks for more
  const ANYWAY_MS = 30000; // clocks run out without an event
  const parse = (html) => new DOMParser().parseFromString(html, 'text/html');

  /* Somebody types in it, has typed in it, has its menu open, or is asked to look at his words again. */
  const busy = (node) => {
    const active = document.activeElement;
    if (active && node.contains(active) && /^(INPUT|TEXTAREA|SELECT|BUTTON|SUMMARY|A)$/.test(active.tagName)) return true;
    return Array.from(node.querySelectorAll('input:not([type="hidden"]), textarea')).some((f) => f.value !== f.defaultValue)
      || node.querySelector('details[open], [aria-invalid="true"]') !== null;
  };

  const mergeCards = (old, fresh) => {
    const kept = new Map();
    Array.from(old.children).forEach((card) => {
      if (card.id && busy(card)) kept.set(card.id, card);
      else card.remove();
    });
    const coming = new Set();
    let place = old.firstElementChild;
    Array.from(fresh.children).forEach((card) => {
      coming.add(card.id);
      const mine = kept.get(card.id);
      if (!mine) { old.insertBefore(document.adoptNode(card), place); return; }
      const head = mine.querySelector('[data-part="head"]');
      const news = card.querySelector('[data-part="head"]');
      if (head && news && !busy(head)) head.replaceWith(document.adoptNode(news));
      if (mine === place) place = mine.nextElementSibling;
    });
    kept.forEach((card, id) => card.classList.toggle('gone', !coming.has(id)));
  };

  const merge = (page) => {
    document.querySelectorAll(REGIONS).forEach((old) => {
      const fresh = page.getElementById(old.id);
      if (!fresh) return;
      if (old.dataset.live === 'cards') mergeCards(old, fresh);
      else if (!busy(old)) old.replaceWith(document.adoptNode(fresh));
    });
  };

  /* ---- reading again ---- */
  let waiting = 0;
  let asking = false;
  const refresh = async () => {
    waiting = 0;
    if (asking) { soon(); return; }
    asking = true;
    try {
      const answer = await helan.send('GET', location.href.split('#')[0], null, { headers: { Accept: 'text/html' }, cache: 'no-store' });
      if (answer.ok && !answer.redirected) merge(parse(await answer.text()));
      else if (answer.redirected) helan.signedOut();
    } catch { /* the offline note is shown already */ } finally { asking = false; }
  };
  const soon = () => { if (!waiting) waiting = setTimeout(refresh, THROTTLE_MS); };

  /* ---- sending a form and staying on the page ---- */
  const sentence = (page) => page.querySelector('.wrong .said')?.textContent.trim();

  /* What was typed in this card has arrived: the next answer may put it in place anew. */
  const release = (card) => {
    document.activeElement?.blur();
    card.querySelectorAll('form').forEach((f) => f.reset());
    card.querySelectorAll('[aria-invalid]').forEach((f) => f.removeAttribute('aria-invalid'));
    card.querySelectorAll('details[open]').forEach((d) => { d.open = false; });
  };

  const send = async (form, button) => {
    if (form.dataset.sending) return;
    form.dataset.sending = 'yes';
    const fields = new URLSearchParams(new FormData(form));
    if (button?.name) fields.set(button.name, button.value);
    try {
      // not form.action: that is the field of this name where there is one
      const answer = await helan.post(form.getAttribute('action'), fields, { headers: { Accept: 'text/html' } });
      const page = parse(await answer.text());
      if (!page.querySelector(REGIONS)) {
        helan.toast(sentence(page) || helan.text('failed'), { icon: 'warn', tone: 'orange', seconds: 12 });
        return;
      }
      const { id } = form.closest('[id]');
      release(form.closest('[id]'));
      merge(page);
      if (!answer.ok) document.getElementById(id)?.querySelector('[aria-invalid="true"]')?.focus();
    } catch { /* offline: what was typed stays */ } finally { delete form.dataset.sending; }
  };

  document.addEventListener('submit', (event) => {
    if (!event.target.matches('form[data-send]')) return;
    event.preventDefault();
    send(event.target, event.submitter);
  });
  document.addEventListener('focusout', soon);

  /* ---- hearing of changes ---- */
  const source = new EventSource('/events');
  ['hello', 'change'].forEach((name) => source.addEventListener(name, () => { helan.live(true); soon(); }));
  source.addEventListener('alert', () => { helan.live(true); clearTimeout(waiting); refresh(); });
  source.addEventListener('error', () => helan.live(false));
  setInterval(soon, ANYWAY_MS);
})();
