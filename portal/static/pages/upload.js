/* Uploads of a clinic: folders of DICOM by STOW-RS, file by file; recordings of an ECG device with whose they are.
   A file counts as received only when the center says so. A cut line, a pause or a closed page loses nothing: before
   anything is sent the center is asked which files it has (by SHA-256), and only the missing ones go. Chromium 109. */
'use strict';

(() => {
  const AT_ONCE = 2; // requests under way: more only divide a thin line
  const ASK = 100; // digests in one question
  const HASH_MOST = 512 * 1048576; // a larger file is not read twice
  const ECG_MOST = 64 * 1048576;
  const WAITS_S = [1, 2, 4, 8, 15, 30];
  const SHOWN_FAILURES = 30;
  const KEPT = 'helan.upload.unfinished';

  const panel = document.getElementById('upload');
  if (!panel) return;
  const clinic = panel.dataset.clinic;
  const list = document.getElementById('uploads');
  const texts = document.getElementById('upload-texts').dataset;
  const say = (name, values = {}) => (texts[name] || '').replace(/\{(\w+)\}/g, (all, key) => values[key] ?? all);
  const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);
  const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });
  const put = (node, words) => { if (node.textContent !== words) node.textContent = words; };

  /* ---- what was chosen: {file, path} ---- */
  const fromInput = (input) => Array.from(input.files).map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  const entriesOf = (reader) => new Promise((done, fail) => { reader.readEntries(done, fail); });
  const walk = async (entry, out) => {
    if (entry.isFile) {
      const file = await new Promise((done, fail) => { entry.file(done, fail); });
      out.push({ file, path: entry.fullPath.replace(/^\//, '') });
      return;
    }
    const reader = entry.createReader();
    for (let some = await entriesOf(reader); some.length; some = await entriesOf(reader)) { // 100 at a time
      for (const one of some) await walk(one, out); // eslint-disable-line no-await-in-loop
    }
  };
  const fromDrop = async (transfer) => {
    const entries = Array.from(transfer.items || []).map((i) => i.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.length) return Array.from(transfer.files).map((file) => ({ file, path: file.name }));
    const out = [];
    for (const entry of entries) { try { await walk(entry, out); } catch { /* a folder that cannot be read */ } }
    return out;
  };

  /* ---- what is what: told by the first bytes, since device files often bear no extension ---- */
  const JUNK = /(^|\/)(\.|__MACOSX\/|thumbs\.db$|desktop\.ini$|autorun\.)/i;
  const INDEX = /(^|\/)dicomdir(;1)?$/i; // a disc's index by its name; by its class where it bears another
  const DIRECTORY = /1\.2\.840\.10008\.1\.3\.10(?![.\d])/; // Media Storage Directory Storage
  /* 'dicom', 'index' or '': by the prefix, or by the first element of a data set that has no file head */
  const dicomKind = async (one) => {
    if (INDEX.test(one.path)) return 'index';
    const head = String.fromCharCode(...new Uint8Array(await one.file.slice(0, 1024).arrayBuffer()));
    if (DIRECTORY.test(head)) return 'index';
    if (head.slice(128, 132) === 'DICM' || head.startsWith('DICM')) return 'dicom';
    const little = /^[\x02\x08]\0[^]\0/.test(head) && (/^[A-Z]{2}/.test(head.slice(4)) || head.slice(6, 8) === '\0\0');
    return little || /^\0\x08\0[^][A-Z]{2}/.test(head) ? 'dicom' : '';
  };
  const nameOf = (path) => path.split('/').pop();
  const folderOf = (path) => path.split('/').slice(0, -1).join('/');
  /* Signal files that a WFDB header names. */
  const signalsOf = async (header) => {
    const lines = (await header.slice(0, 20000).text()).split(/\r?\n/).filter((l) => l.trim() && !l.startsWith('#'));
    return Array.from(new Set(lines.slice(1).map((l) => l.trim().split(/\s+/)[0]).filter((n) => n && n !== '~')));
  };

  const sort = async (chosen) => {
    const found = { dicom: [], ecg: [], failed: [], leftOut: 0, indexes: 0 };
    const rest = [];
    for (const one of chosen) {
      if (JUNK.test(one.path) || !one.file.size) { if (!JUNK.test(one.path)) found.failed.push({ ...one, words: say('broken') }); else found.leftOut += 1; continue; }
      let kind = '';
      try { kind = await dicomKind(one); } catch { found.failed.push({ ...one, words: say('unread') }); continue; }
      if (kind === 'index') { found.indexes += 1; continue; }
      (kind || /\.(dcm|dicom)$/i.test(one.path) ? found.dicom : rest).push(one);
    }
    const taken = new Set();
    for (const one of rest.filter((r) => /\.hea$/i.test(r.path))) {
      const parts = [one];
      taken.add(one);
      let lacking = '';
      for (const name of await signalsOf(one.file)) {
        const signal = rest.find((r) => folderOf(r.path) === folderOf(one.path) && nameOf(r.path) === name);
        if (signal) { parts.push(signal); taken.add(signal); } else lacking = name;
      }
      if (lacking) found.failed.push({ ...one, words: say('noSignal', { name: lacking }) });
      else found.ecg.push(parts);
    }
    rest.filter((r) => !taken.has(r)).forEach((one) => {
      if (/\.dat$/i.test(one.path)) found.failed.push({ ...one, words: say('noHeader') });
      else if (!one.path.includes('/') && one.file.size <= ECG_MOST) found.ecg.push([one]); // chosen by itself: the center says what it is
      else found.leftOut += 1; // a viewer's programs on a disc
    });
    return found;
  };

  /* ---- sending one request ---- */
  const AWAY = Symbol('the line is cut');
  const request = (method, url, headers, body, { onprogress = null, onstart = null } = {}) => new Promise((done) => {
    const xhr = new XMLHttpRequest();
    xhr.open(method, url);
    xhr.setRequestHeader('X-CSRF-Token', document.querySelector('meta[name="csrf"]').content);
    xhr.setRequestHeader('Accept', 'application/dicom+json, application/json');
    Object.entries(headers).forEach(([name, value]) => xhr.setRequestHeader(name, value));
    xhr.timeout = 0;
    if (onprogress) xhr.upload.addEventListener('progress', (e) => onprogress(e.loaded));
    xhr.addEventListener('load', () => {
      let answer = null;
      try { answer = JSON.parse(xhr.responseText); } catch { /* no JSON */ }
      done({ status: xhr.status, answer, wait: Number(xhr.getResponseHeader('Retry-After')) || 0 });
    });
    ['error', 'abort', 'timeout'].forEach((kind) => xhr.addEventListener(kind, () => done({ status: kind === 'abort' ? -1 : 0, answer: null, wait: 0, away: AWAY })));
    onstart?.(xhr);
    xhr.send(body);
  });
  const json = (url, body) => request('POST', url, { 'Content-Type': 'application/json' }, JSON.stringify({ clinic, ...body }));

  const BOUNDARY = 'helan-upload-part';
  const stow = (file, hooks) => {
    const body = new Blob([`--${BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n`, file, `\r\n--${BOUNDARY}--\r\n`]);
    const kind = `multipart/related; type="application/dicom"; boundary=${BOUNDARY}`;
    return request('POST', `/dicom-web/studies?clinic=${encodeURIComponent(clinic)}`, { 'Content-Type': kind }, body, hooks);
  };

  const english = document.documentElement.lang.startsWith('en');
  const sentence = (answer) => {
    const words = answer?.[english ? 'en' : 'zh'];
    return words ? `${words}${answer.number ? ` (${answer.number})` : ''}` : '';
  };
  /* PS3.18 table I.2-2: why an instance was not stored; the center's own sentence in both languages is beside it */
  const notStored = (answer) => answer?.['00081198']?.Value?.[0] || answer?.['0008119A']?.Value?.[0] || null;
  const refusal = (status, answer) => {
    const item = notStored(answer);
    const own = sentence(answer) || item?.[english ? '00000902' : '00081030']?.Value?.[0] || '';
    const code = item?.['00081197']?.Value?.[0] || 0;
    if (own) return own;
    if (code === 0xA900) return say('mismatch');
    if (code >= 0xC000 || status === 400) return say('broken');
    return say('gone');
  };
  const studiesOf = (answer) => {
    const urls = (answer?.['00081199']?.Value || []).map((v) => v['00081190']?.Value?.[0] || '');
    return [answer?.['00081190']?.Value?.[0] || '', ...urls].map((u) => /\/studies\/([\d.]+)/.exec(u)?.[1]).filter(Boolean);
  };
  const KEPT_ASIDE = 0xB007; // same UID, other data set
  const isQuarantined = (answer) => answer?.['00081199']?.Value?.[0]?.['00081196']?.Value?.[0] === KEPT_ASIDE;

  const hex = (buffer) => Array.from(new Uint8Array(buffer), (b) => b.toString(16).padStart(2, '0')).join('');
  const digestOf = async (file) => hex(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));

  /* ---- a batch: what was dropped or chosen at once ---- */
  const batches = new Set();
  const remember = () => {
    try {
      const open = Array.from(batches).filter((b) => b.unfinished());
      if (open.length) sessionStorage.setItem(KEPT, JSON.stringify(open.map((b) => ({ name: b.name, n: b.missing() }))));
      else sessionStorage.removeItem(KEPT);
    } catch { /* full or forbidden */ }
  };

  class Batch {
    constructor(name, items) {
      this.name = name;
      this.items = items.map((one) => ({ ...one, state: 'waiting', sent: 0 })); // waiting sending received failed skipped
      this.studies = new Set();
      this.running = 0;
      this.paused = false;
      this.waiting = 0; // until, ms, where the line is cut or the center full
      this.wait = 0;
      this.why = '';
      this.looked = 0;
      this.knownBefore = 0;
      this.leftOut = 0;
      this.indexes = 0;
      this.requests = new Set();
      this.begun = 0;
      this.node = clone('up-card');
      this.$ = (selector) => this.node.querySelector(selector);
      put(this.$('.name'), name);
      this.node.addEventListener('click', (event) => this.pressed(event));
      list.prepend(this.node);
      batches.add(this);
      this.paint();
    }

    count(state) { return this.items.reduce((n, i) => n + (i.state === state ? 1 : 0), 0); }
    missing() { return this.items.length - this.count('received') - this.count('skipped'); }
    unfinished() { return this.count('waiting') + this.count('sending') > 0; }

    async start() {
      this.ready = false;
      await this.ask();
      this.ready = true;
      this.begun = performance.now();
      this.bytesBefore = this.bytes();
      this.pump();
    }

    /* Which of the files the center has already. */
    async ask() {
      if (!window.crypto?.subtle) return; // not a secure page: the center compares when they come
      const todo = this.items.filter((i) => i.state === 'waiting' && i.file.size <= HASH_MOST && !i.asked);
      for (let at = 0; at < todo.length; at += ASK) {
        const some = todo.slice(at, at + ASK);
        for (const item of some) {
          try { item.digest ||= await digestOf(item.file); } catch { this.fail(item, say('unread')); }
          this.looked += 1;
          this.paint();
        }
        const wanted = some.filter((i) => i.digest && i.state === 'waiting');
        const { status, answer } = await json('/uploads/known', { sha256: wanted.map((i) => i.digest) });
        if (status !== 200) return; // asking is a courtesy: sending again harms nothing
        const known = new Set(answer.known);
        answer.study_uids.forEach((uid) => this.studies.add(uid));
        wanted.forEach((i) => {
          i.asked = true;
          if (known.has(i.digest)) { i.state = 'received'; this.knownBefore += 1; }
        });
        this.paint();
      }
    }

    pump() {
      while (this.ready && !this.paused && !this.waiting && this.running < AT_ONCE) {
        const item = this.items.find((i) => i.state === 'waiting');
        if (!item) break;
        this.send(item);
      }
      this.paint();
      if (this.ready && !this.running && !this.unfinished()) this.end();
    }

    async send(item) {
      item.state = 'sending';
      item.sent = 0;
      this.running += 1;
      let mine = null;
      const answer = await stow(item.file, {
        onprogress: (bytes) => { item.sent = Math.min(bytes, item.file.size); this.paintSoon(); },
        onstart: (xhr) => { mine = xhr; this.requests.add(xhr); },
      });
      this.requests.delete(mine);
      this.running -= 1;
      await this.answered(item, answer);
      this.pump();
    }

    async answered(item, { status, answer, wait }) {
      item.sent = 0;
      if (status === 200 || status === 202) {
        if (isQuarantined(answer)) { this.fail(item, say('quarantined')); return; }
        if (notStored(answer)) { this.fail(item, refusal(status, answer)); return; }
        item.state = 'received';
        studiesOf(answer).forEach((uid) => this.studies.add(uid));
        this.wait = 0;
        helan.online();
      } else if (status === -1) item.state = 'waiting';
      else if (status === 401) { item.state = 'waiting'; this.paused = true; this.why = say('stopped'); helan.signedOut(); } else if (status === 0) {
        if (!await this.readable(item)) { this.fail(item, say('unread')); return; }
        this.hold(item, 0, say('offline'));
      } else if (status === 429 || status >= 502) this.hold(item, wait, '');
      else this.fail(item, refusal(status, answer));
      remember();
    }

    /* A disc taken out looks like a cut line to XMLHttpRequest. */
    async readable(item) {
      try { await item.file.slice(0, 1).arrayBuffer(); return true; } catch { return false; }
    }

    /* Waits and tries again, longer each time. */
    hold(item, seconds, words) {
      item.state = 'waiting';
      if (this.waiting) return;
      const s = Math.max(seconds, WAITS_S[Math.min(this.wait, WAITS_S.length - 1)]);
      this.wait += 1;
      this.why = words || say('busy', { n: s });
      this.waiting = setTimeout(() => this.now(), s * 1000);
    }

    now() {
      clearTimeout(this.waiting);
      this.waiting = 0;
      this.why = '';
      this.pump();
    }

    fail(item, words) {
      item.state = 'failed';
      item.words = words;
      if (item.node || this.node.querySelectorAll('.failed li').length >= SHOWN_FAILURES) return;
      item.node = clone('up-failed');
      put(item.node.querySelector('.name'), nameOf(item.path));
      item.node.querySelector('.name').title = item.path;
      put(item.node.querySelector('.said'), words);
      item.node.querySelector('[data-do="again"]').hidden = item.lost === true;
      item.node.item = item;
      item.node.querySelector('[data-other]').addEventListener('change', (event) => this.replace(item, event.target.files[0]));
      this.$('.failed').append(item.node);
    }

    /* The same image, exported anew. */
    replace(item, file) {
      if (!file) return;
      Object.assign(item, { file, digest: '', asked: false, lost: false, words: '', state: 'waiting' });
      item.node.remove();
      item.node = null;
      this.ended = false;
      this.pump();
    }

    pressed(event) {
      const what = event.target.closest('[data-do]')?.dataset.do;
      const item = event.target.closest('.failed li')?.item;
      if (what === 'pause') { this.paused = true; this.why = say('paused'); this.requests.forEach((x) => x.abort()); } else if (what === 'resume') { this.paused = false; this.why = ''; this.wait = 0; } else if (what === 'now') { this.now(); return; } else if (what === 'close') { this.node.remove(); batches.delete(this); return; } else if (item && (what === 'again' || what === 'skip')) {
        item.node.remove();
        item.node = null;
        item.state = what === 'again' ? 'waiting' : 'skipped';
        this.ended = false;
      } else return;
      this.pump();
    }

    async end() {
      if (this.ended) return;
      this.ended = true;
      remember();
      this.paint();
      const uids = Array.from(this.studies);
      if (uids.length && !this.count('failed')) await json('/uploads/finished', { study_uids: uids });
      this.paint();
    }

    bytes() {
      return this.items.reduce((n, i) => n + (i.state === 'received' ? i.file.size : i.sent), 0);
    }

    left() {
      const done = this.bytes() - this.bytesBefore;
      const seconds = (performance.now() - this.begun) / 1000;
      if (done < 1 || seconds < 2) return '';
      const todo = this.items.reduce((n, i) => n + (i.state === 'waiting' || i.state === 'sending' ? i.file.size - i.sent : 0), 0);
      const rest = (todo / done) * seconds;
      return ` · ${rest < 60 ? say('leftS', { n: Math.max(1, Math.round(rest)) }) : say('left', { n: Math.ceil(rest / 60) })}`;
    }

    paintSoon() {
      if (this.painting) return;
      this.painting = setTimeout(() => { this.painting = 0; this.paint(); }, 200);
    }

    paint() {
      const [received, failed, total] = [this.count('received'), this.count('failed'), this.items.length];
      const done = this.ready && !this.unfinished();
      const size = this.items.reduce((n, i) => n + i.file.size, 0);
      const share = size ? Math.floor((100 * this.bytes()) / size) : 0;
      const tone = this.why ? 'grey' : done ? (failed ? 'red' : 'green') : '';
      if (tone) this.node.dataset.tone = tone; else delete this.node.dataset.tone;
      this.node.classList.toggle('held', !!this.why);
      put(this.$('.count'), say('count', { n: received, total }));
      this.$('.bar-p').style.setProperty('--p', `${share}%`);
      this.$('.bar-p').setAttribute('aria-valuenow', share);
      let words = `${say('received', { n: received })}${this.ready ? this.left() : ''}`;
      if (!this.ready && this.looked) words = say('looking', { n: this.looked, total });
      if (done) words = failed ? say('some', { n: received, failed }) : say('whole', { n: received, total });
      if (done && this.knownBefore) words += ` · ${say('known', { n: this.knownBefore })}`;
      if (this.leftOut) words += ` · ${say('skipped', { n: this.leftOut })}`;
      if (this.indexes) words += ` · ${say('index')}`;
      put(this.$('.said'), this.why || words);
      this.$('[data-do="pause"]').hidden = done || this.paused || !this.ready;
      this.$('[data-do="resume"]').hidden = !this.paused;
      this.$('[data-do="now"]').hidden = !this.waiting;
      this.$('[data-do="close"]').hidden = !done || (failed > 0);
      const hidden = this.items.filter((i) => i.state === 'failed' && !i.node).length;
      let more = this.$('.failed .more');
      if (hidden && !more) { more = document.createElement('li'); more.className = 'more cap'; this.$('.failed').append(more); }
      if (more) { if (hidden) { put(more, say('more', { n: hidden })); this.$('.failed').append(more); } else more.remove(); }
    }
  }

  /* ---- one recording of an ECG device ---- */
  const ecgCard = (parts) => {
    const node = clone('up-card');
    const $ = (selector) => node.querySelector(selector);
    const form = clone('up-ecg');
    document.querySelectorAll('#ecg-fields > *').forEach((field) => form.append(field.cloneNode(true)));
    form.append(clone('up-ecg-send'));
    put($('.name'), parts.map((p) => nameOf(p.path)).join(' + '));
    $('.bar-p').hidden = true;
    put($('.said'), say('waits'));
    $('[data-do="pause"]').hidden = true;
    $('.failed').before(form);
    list.prepend(node);
    const batch = { name: $('.name').textContent, unfinished: () => !batch.done, missing: () => parts.length, done: false };
    batches.add(batch);
    $('[data-do="close"]').hidden = false;
    $('[data-do="close"]').addEventListener('click', () => { node.remove(); batches.delete(batch); remember(); });

    const show = (tone, words) => { if (tone) node.dataset.tone = tone; else delete node.dataset.tone; put($('.said'), words); };
    const send = async () => {
      const body = new FormData(form);
      body.set('clinic', clinic);
      parts.forEach((p) => body.append('files', p.file, nameOf(p.path)));
      $('.bar-p').hidden = false;
      form.querySelectorAll('button, input').forEach((f) => { f.disabled = true; });
      form.hidden = true;
      show('', say('sending'));
      const total = parts.reduce((n, p) => n + p.file.size, 0);
      const { status, answer, wait } = await request('POST', '/uploads/ecg', {}, body, { onprogress: (n) => $('.bar-p').style.setProperty('--p', `${Math.min(100, (100 * n) / total)}%`) });
      if (status === 201) {
        batch.done = true;
        $('.bar-p').style.setProperty('--p', '100%');
        put($('.count'), '');
        show('green', say('whole', { n: 1, total: 1 }));
        form.remove();
        remember();
        return;
      }
      if (status === 0 || status === 429 || status >= 502) {
        batch.wait = Math.min((batch.wait || 0) + 1, WAITS_S.length);
        const s = Math.max(wait, WAITS_S[batch.wait - 1]);
        show('grey', status === 0 ? say('offline') : say('busy', { n: s }));
        await sleep(s * 1000);
        if (node.isConnected) await send();
        return;
      }
      form.querySelectorAll('button, input').forEach((f) => { f.disabled = false; });
      form.hidden = false;
      $('.bar-p').hidden = true;
      if (status === 401) helan.signedOut();
      const field = answer?.facts?.field && form.elements[answer.facts.field];
      form.querySelectorAll('[aria-invalid]').forEach((f) => f.removeAttribute('aria-invalid'));
      if (field?.setAttribute) { field.setAttribute('aria-invalid', 'true'); field.focus(); }
      show('red', sentence(answer) || say('gone'));
      if (status === 400) form.remove(); // no filling in makes it a recording
    };
    form.addEventListener('submit', (event) => { event.preventDefault(); send(); });
    return { node, form, send };
  };

  /* ---- taking what was chosen ---- */
  const take = async (chosen) => {
    if (!chosen.length) return;
    const found = await sort(chosen);
    const tops = new Map();
    [...found.dicom, ...found.failed].forEach((one) => {
      const top = one.path.includes('/') ? one.path.split('/')[0] : '';
      if (!tops.has(top)) tops.set(top, []);
      tops.get(top).push(one);
    });
    const last = JSON.parse(sessionStorage.getItem(KEPT) || '[]');
    tops.forEach((items, top) => {
      const name = top || (items.length === 1 ? items[0].path : say('files', { n: items.length }));
      const batch = new Batch(name, items);
      Object.assign(batch, { leftOut: found.leftOut, indexes: found.indexes });
      found.leftOut = 0;
      found.indexes = 0;
      batch.items.filter((i) => i.words).forEach((i) => { i.lost = true; batch.fail(i, i.words); });
      if (last.some((l) => l.name === name)) document.getElementById('unfinished').hidden = true;
      batch.start();
    });
    found.ecg.forEach((parts) => {
      const card = ecgCard(parts);
      if (!/\.hea$/i.test(parts[0].path)) card.send(); // not a recording we know: the center says why
    });
    if (!tops.size && !found.ecg.length) helan.toast(say(found.indexes ? 'index' : 'nothing'), { icon: 'warn', tone: 'orange', seconds: 12 });
    remember();
  };

  ['pick-folder', 'pick-files'].forEach((id) => {
    const input = document.getElementById(id);
    const read = () => { const chosen = fromInput(input); input.value = ''; take(chosen); };
    input.addEventListener('change', read);
    if (input.files.length) read(); // chosen before this script was here
  });
  const drop = document.getElementById('drop');
  let over = 0;
  document.addEventListener('dragenter', () => { over += 1; drop.classList.add('over'); });
  document.addEventListener('dragleave', () => { over -= 1; if (over <= 0) drop.classList.remove('over'); });
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', async (event) => { // anywhere on the page: a browser would else open the file
    event.preventDefault();
    over = 0;
    drop.classList.remove('over');
    take(await fromDrop(event.dataTransfer));
  });

  /* the form by hand becomes a card of its own */
  const byHand = document.querySelector('#ecg-by-hand form');
  byHand.addEventListener('submit', (event) => {
    event.preventDefault();
    const input = byHand.querySelector('input[type="file"]');
    const card = ecgCard(fromInput(input));
    Array.from(byHand.elements).forEach((f) => {
      const same = f.name && f.type !== 'file' && f.name !== 'csrf' ? card.form.querySelector(`[name="${f.name}"]${f.type === 'radio' ? `[value="${f.value}"]` : ''}`) : null;
      if (same && /radio|checkbox/.test(f.type)) same.checked = f.checked;
      else if (same) same.value = f.value;
    });
    byHand.reset();
    byHand.closest('details').open = false;
    card.send();
  });

  /* ---- the line comes back; the page is left ---- */
  const again = () => batches.forEach((b) => { if (b.waiting) { b.wait = 0; b.now(); } });
  window.addEventListener('online', again);
  document.addEventListener('helan:online', again);
  window.addEventListener('beforeunload', (event) => {
    remember();
    if (!Array.from(batches).some((b) => b.unfinished())) return;
    event.preventDefault();
    event.returnValue = say('leave');
  });

  /* what was not finished before the page was read again */
  try {
    const left = JSON.parse(sessionStorage.getItem(KEPT) || '[]');
    if (left.length) {
      const note = document.getElementById('unfinished');
      put(note.querySelector('span'), say('unfinished', left[0]));
      note.hidden = false;
    }
  } catch { /* nothing kept */ }
})();
