/* Preview, signature and what becomes of them: the lease lives on, a signature is sent once, news come by themselves. */
'use strict';

(() => {
  const $ = (selector, root = document) => root.querySelector(selector);

  const form = $('#sign');
  if (form) {
    form.addEventListener('submit', (event) => {
      if (form.dataset.sent) { event.preventDefault(); return; }
      form.dataset.sent = 'yes';
      const button = $('button.pri', form);
      button.setAttribute('aria-busy', 'true');
      button.textContent = form.dataset.working;
    });
    window.addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
    const beat = () => helan.post(form.action.replace(/\/sign$/, '/heartbeat'), new URLSearchParams({ token: form.elements.token.value, active: '1' })).catch(() => {});
    setInterval(beat, 30000);
  }

  document.addEventListener('keydown', (event) => {
    const menu = $('details.pop[open]');
    if (!menu || event.key !== 'Escape') return;
    menu.open = false;
    $('summary', menu).focus();
    event.preventDefault();
    event.stopPropagation();
  }, true);
  document.addEventListener('toggle', (event) => {
    if (event.target.matches?.('details.pop') && event.target.open) $('input:not([type="hidden"])', event.target)?.focus();
  }, true);

  /* after signing: the seal and the deliveries arrive within seconds */
  let left = 40;
  const follow = async () => {
    if (!$('main.done') || left < 1) return;
    left -= 1;
    try {
      const answer = await helan.send('GET', location.pathname, undefined, { headers: { Accept: 'text/html' } });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
        if (!$('.cols details[open]') && $('.cols', fresh) && $('.cols', fresh).innerHTML !== $('.cols').innerHTML) $('.cols').replaceWith($('.cols', fresh));
        if ($('.signed > .cap', fresh)) $('.signed > .cap').textContent = $('.signed > .cap', fresh).textContent;
      }
    } catch { /* away */ }
    setTimeout(follow, left > 30 ? 2000 : 10000);
  };
  if ($('main.done')) setTimeout(follow, 1500);
})();
