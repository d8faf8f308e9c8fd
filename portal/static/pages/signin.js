/* The sign-in page: looks whether this computer can show images and tells the right time, and keeps the account's
   name when the language is switched. Plain script for Chromium 109; the form works without it. */
'use strict';

(() => {
  const box = document.getElementById('self-check');
  const form = document.getElementById('sign-in');
  if (!box || !form) return;

  const SVG = 'http://www.w3.org/2000/svg';
  const mark = (tone, words) => {
    const badge = document.createElement('span');
    badge.className = 'badge';
    badge.dataset.tone = tone;
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('class', 'i');
    svg.setAttribute('aria-hidden', 'true');
    const use = document.createElementNS(SVG, 'use');
    use.setAttribute('href', `/static/icons.svg#i-${tone === 'green' ? 'ok' : 'warn'}`);
    svg.append(use);
    badge.append(svg, words);
    box.append(badge);
  };

  /* What the pages and the viewer need of a browser; Chromium 109 is the last one of Windows 7. */
  const modern = () => typeof structuredClone === 'function' && typeof Array.prototype.at === 'function'
    && CSS.supports('height', '100dvh') && CSS.supports('selector(:focus-visible)');

  /* '' none, 'slow' software, 'ok' */
  const webgl = () => {
    try {
      const canvas = document.createElement('canvas');
      const gl = canvas.getContext('webgl2') || canvas.getContext('webgl');
      if (!gl) return '';
      const names = gl.getExtension('WEBGL_debug_renderer_info');
      const renderer = names ? String(gl.getParameter(names.UNMASKED_RENDERER_WEBGL)) : '';
      gl.getExtension('WEBGL_lose_context')?.loseContext();
      return /swiftshader|llvmpipe|software|basic render/i.test(renderer) ? 'slow' : 'ok';
    } catch { return ''; }
  };

  const clock = () => {
    const server = Date.parse(document.querySelector('meta[name="now"]')?.content || '');
    /* the page was made when its answer began; later than that only this script's own waiting counts */
    const began = performance.timeOrigin + (performance.getEntriesByType('navigation')[0]?.responseStart || 0);
    const off = Math.round((began - server) / 1000);
    if (!server || Math.abs(off) < 30) return mark('green', box.dataset.clockOk);
    const time = window.helan ? window.helan.duration(off * 1000) : `${Math.abs(off)} s`;
    return mark('orange', (off < 0 ? box.dataset.clockSlow : box.dataset.clockFast).replace('{time}', time));
  };

  const check = () => {
    if (modern()) mark('green', box.dataset.browserOk);
    else mark('orange', box.dataset.browserOld);
    const seen = webgl();
    mark(seen === 'ok' ? 'green' : 'orange', { ok: box.dataset.webglOk, slow: box.dataset.webglSlow, '': box.dataset.webglMissing }[seen]);
    clock();
    box.hidden = false;
  };

  const field = form.elements.namedItem('login');
  const SLOT = 'helan.signin.login';
  document.querySelectorAll('.lang a').forEach((link) => link.addEventListener('click', () => {
    try { sessionStorage.setItem(SLOT, field.value); } catch { /* not kept */ }
  }));
  try {
    const kept = sessionStorage.getItem(SLOT);
    if (kept && !field.value) field.value = kept;
    sessionStorage.removeItem(SLOT);
  } catch { /* nothing kept */ }

  /* one try at a time: a second press on a slow line would count as a second wrong one */
  form.addEventListener('submit', (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = 'yes';
  });
  window.addEventListener('pageshow', () => { delete form.dataset.sent; });
  check();
})();
