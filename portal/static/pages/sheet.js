/* The 12-lead sheet in the page: drawn by the server in millimetres, put in as SVG so that it takes the page's colours. */
'use strict';

(() => {
  const box = document.getElementById('sheet');
  if (!box?.dataset.src || box.querySelector('form')) return;
  const chosen = { layout: '3x4+1R', speed: '25', gain: '10', start: '0' };
  const print = document.getElementById('sheet-print');
  const paper = print?.getAttribute('href');
  let asked = null;

  const draw = async () => {
    if (print) print.href = `${paper}?${new URLSearchParams(chosen)}`;
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await helan.send('GET', `${box.dataset.src}?${new URLSearchParams(chosen)}`, undefined, { headers: { Accept: 'image/svg+xml' }, signal: asked.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const sheet = new DOMParser().parseFromString(await answer.text(), 'image/svg+xml').documentElement;
      if (sheet.nodeName !== 'svg') throw new Error('not a sheet');
      box.replaceChildren(document.importNode(sheet, true));
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (!box.querySelector('svg')) box.textContent = box.dataset.failed;
      else helan.toast(box.dataset.failed, { icon: 'warn', tone: 'orange' });
    }
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('.tl button, [data-start]');
    if (!button) return;
    const name = Object.keys(chosen).find((key) => button.dataset[key]);
    chosen[name] = button.dataset[name];
    if (name === 'start') box.scrollIntoView({ block: 'nearest' });
    button.parentNode.querySelectorAll('button').forEach((b) => b.setAttribute('aria-pressed', b === button ? 'true' : 'false'));
    draw();
  });
  draw();
})();
