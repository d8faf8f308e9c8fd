/* The one place that knows OHIF: when its first frame is drawn, which keys come back to the page, side by side. */
'use strict';

window.helanViewer = (() => {
  const frame = document.getElementById('viewer');
  if (!frame) return null;
  const box = document.getElementById('main');
  const first = document.getElementById('first');
  const note = document.getElementById('viewer-note');
  const SLOW_MS = 20000;
  const FAILED_MS = 90000;
  /* Keys of the page that OHIF has no use for; everything else stays the viewer's. */
  const OURS = /^(F2|F4|Escape|\?|[agxAGX])$/;
  const ours = (event) => (event.ctrlKey || event.metaKey ? /^(Enter|s|S)$/.test(event.key) : event.altKey ? /^(Digit[1-9]|Key[RV])$/.test(event.code) : OURS.test(event.key));

  const tell = (words) => {
    note.querySelector('span').textContent = words;
    note.hidden = !words;
  };

  /* A frame is drawn when a canvas of the viewer holds anything but black. */
  const drawn = () => {
    const doc = frame.contentDocument;
    if (!doc) return false;
    const probe = document.createElement('canvas');
    probe.width = probe.height = 24;
    const pen = probe.getContext('2d', { willReadFrequently: true });
    return Array.from(doc.querySelectorAll('canvas')).some((canvas) => {
      if (canvas.width < 32 || canvas.height < 32) return false;
      try {
        pen.fillRect(0, 0, 24, 24);
        pen.drawImage(canvas, 0, 0, 24, 24);
        return pen.getImageData(0, 0, 24, 24).data.some((v, i) => i % 4 !== 3 && v > 12);
      } catch { return false; }
    });
  };

  first?.querySelector('img').addEventListener('error', () => { first.hidden = true; first.dataset.broken = 'yes'; });

  let began = performance.now();
  let timer = 0;
  const watch = () => {
    clearInterval(timer);
    began = performance.now();
    tell('');
    if (first && !first.dataset.broken) first.hidden = false;
    timer = setInterval(() => {
      const waited = performance.now() - began;
      if (drawn()) {
        clearInterval(timer);
        tell('');
        if (first) first.hidden = true;
        frame.dataset.drawn = 'yes';
        document.dispatchEvent(new CustomEvent('helan:drawn', { detail: Math.round(waited) }));
      } else if (waited > FAILED_MS) { clearInterval(timer); tell(box.dataset.failed); } else if (waited > SLOW_MS) tell(box.dataset.slow);
    }, 400);
  };

  const bound = new WeakSet();
  const bind = () => {
    const inside = frame.contentWindow;
    if (!inside || bound.has(inside.document)) return;
    bound.add(inside.document);
    const busy = () => document.dispatchEvent(new CustomEvent('helan:active'));
    ['pointerdown', 'pointermove', 'wheel', 'keydown'].forEach((name) => inside.addEventListener(name, busy, { passive: true, capture: true }));
    inside.addEventListener('keydown', (event) => {
      const typing = event.target?.matches?.('input, textarea, [contenteditable]');
      if (ours(event) && !(typing && !event.ctrlKey && !event.altKey) && helan.keys.handle(event)) event.stopImmediatePropagation();
    }, true);
  };
  frame.addEventListener('load', () => { bind(); setTimeout(bind, 1000); });
  const open = (address) => {
    delete frame.dataset.drawn;
    frame.contentWindow.location.replace(address);
    watch();
  };
  document.getElementById('viewer-again')?.addEventListener('click', () => open(frame.src));
  frame.addEventListener('click', () => frame.focus());

  /* Side by side with a prior, or back to this study alone: the text stays where it is. */
  const compare = (link) => {
    const address = new URL(frame.src, location.href);
    const [study] = address.searchParams.get('StudyInstanceUIDs').split(',');
    const end = link.getAttribute('aria-current') === 'true';
    address.searchParams.set('StudyInstanceUIDs', end ? study : `${study},${link.dataset.compare}`);
    if (end) address.searchParams.delete('hangingProtocolId');
    else address.searchParams.set('hangingProtocolId', '@ohif/hpCompare');
    document.querySelectorAll('[data-compare]').forEach((n) => n.removeAttribute('aria-current'));
    if (!end) link.setAttribute('aria-current', 'true');
    open(address.href);
  };

  bind();
  watch();
  return { compare };
})();
