/* The clinic's page: tells that a report has come, prints a report without leaving the page, changes clinic at once.
   Keeping the page up to date is the work of dispatch.js. Everything here works by plain links without it. */
'use strict';

(() => {
  /* ---- a report has come: its row says so by data-ready ---- */
  const cases = document.getElementById('cases');
  const ready = () => Array.from(cases?.querySelectorAll('[data-ready]') || []);
  const known = new Set(ready().map((row) => row.id));
  if (cases) {
    new MutationObserver(() => {
      ready().filter((row) => !known.has(row.id)).forEach((row) => {
        known.add(row.id);
        const open = row.querySelector('a.btn');
        helan.toast(row.dataset.ready, { icon: 'issued', tone: 'green', seconds: 12, act: { words: open?.textContent.trim() || '', href: row.dataset.href } });
      });
    }).observe(cases, { childList: true });
  }

  /* ---- printing: the report in a frame that nobody sees; where that is not possible, its own page ---- */
  let frame = null;
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[data-print]');
    if (!link || event.ctrlKey || event.metaKey || event.button) return;
    if (!navigator.pdfViewerEnabled) return; // the link opens it elsewhere
    event.preventDefault();
    frame?.remove();
    frame = document.createElement('iframe');
    frame.className = 'print-frame';
    frame.addEventListener('load', () => {
      try {
        frame.contentWindow.focus();
        frame.contentWindow.print();
      } catch { window.open(link.href, '_blank', 'noopener'); }
    });
    frame.src = link.href;
    document.body.append(frame);
  });

  /* ---- the choice of a clinic ---- */
  const choice = document.querySelector('select[name="clinic"]');
  choice?.addEventListener('change', () => choice.form.submit());

  /* a toast that the address asked for is not shown again when the page is read anew */
  const here = new URL(location.href);
  if (here.searchParams.has('said')) {
    here.searchParams.delete('said');
    history.replaceState(null, '', here);
    setTimeout(() => document.querySelector('#toasts .toast')?.remove(), 6000);
  }
})();
