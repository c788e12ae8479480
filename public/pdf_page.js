// A page of a PDF in the side panel (elements/Source.jsx): drawn by pdf.js (public/pdf), its text selectable, a passage marked.
// An ES module, which is loaded when the first page is shown: pdf.js and its worker have 1.9 MB.
import { GlobalWorkerOptions, TextLayer, getDocument } from '/public/pdf/pdf.min.mjs';

const HERE = '/public/pdf';
GlobalWorkerOptions.workerSrc = `${HERE}/pdf.worker.min.mjs`;

const MOST_PIXELS = 16_000_000; // of a canvas: phones refuse larger ones
const SHARPEST = 3; // canvas pixels per CSS pixel
const LEAST_RUN = 12; // letters that have to agree for a place to be the passage's, rather than a phrase used twice
const LEAST_RUN_CJK = 5; // of writing with two or three signs a word
const MOST_GAP = 24; // letters between two marked places that are marked, too: a footnote's number, a cell
const LEAST_FOUND = 0.3; // of the passage's letters on this page; below it no place is certain
const CJK = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;

// Starts to load a document; `promise` is the document, `destroy` frees it and its worker.
export const load = (url) =>
  getDocument({
    url,
    cMapUrl: `${HERE}/cmaps/`, // for Chinese, Japanese and Korean fonts that are not in the file
    wasmUrl: `${HERE}/wasm/`, // JPEG 2000, JBIG2 and colour profiles, mostly in scans
    standardFontDataUrl: `${HERE}/fonts/`, // Symbol and Dingbats; the browser has the other standard fonts
    disableAutoFetch: true, // only the bytes of the pages that are looked at
    disableStream: true,
    isEvalSupported: false,
    enableXfa: false,
    verbosity: 0, // a PDF's faults are no errors of this page
  });

// Returns the letters and digits of a text without accents, case, hyphens and space, and where each comes from.
export const letters = (text) => {
  const signs = [];
  const from = [];
  let at = 0;
  for (const sign of text) {
    for (const part of sign.normalize('NFKD').toLowerCase()) {
      if (/[\p{L}\p{N}]/u.test(part)) {
        signs.push(part);
        from.push(at);
      }
    }
    at += sign.length;
  }
  return { signs, from };
};

// Returns for each sign of a page whether it is the passage's: the longest runs that both share, each used once, whatever
// their order, since columns and tables are read in another order than a PDF draws them. [] where too little agrees.
const shared = (passage, page) => {
  const least = Math.min(CJK.test(passage.join('')) ? LEAST_RUN_CJK : LEAST_RUN, passage.length);
  if (!least) return [];
  const places = new Map();
  for (let at = 0; at + least <= page.length; at += 1) {
    const run = page.slice(at, at + least).join('');
    if (!places.has(run)) places.set(run, []);
    places.get(run).push(at);
  }
  const marked = new Array(page.length).fill(false);
  let [found, end, before] = [0, 0, -1]; // `before`: where the passage's last run ended
  for (let at = 0; at + least <= passage.length; ) {
    let [best, length] = [-1, 0];
    for (const start of places.get(passage.slice(at, at + least).join('')) ?? []) {
      let run = 0;
      while (at + run < passage.length && passage[at + run] === page[start + run] && !marked[start + run]) run += 1;
      const isNearer = run === length && Math.abs(start - end) < Math.abs(best - end);
      if (run >= least && (run > length || isNearer)) [best, length] = [start, run];
    }
    if (best < 0) {
      at += 1;
    } else {
      const isNext = before >= 0 && best >= end && best - end <= MOST_GAP && at - before <= MOST_GAP;
      marked.fill(true, isNext ? end : best, best + length);
      [found, end, at] = [found + length, best + length, at + length];
      before = at;
    }
  }
  return found >= LEAST_FOUND * passage.length ? marked : [];
};

// Returns the ranges of a page's texts that are a passage: [{ item, start, end }], [] where it is not found.
export const find = (passage, items) => {
  const signs = [];
  const from = [];
  items.forEach((text, item) => {
    const read = letters(text);
    signs.push(...read.signs);
    from.push(...read.from.map((offset) => ({ item, offset })));
  });
  const ranges = [];
  shared(letters(passage).signs, signs).forEach((isMarked, n) => {
    if (!isMarked) return;
    const { item, offset } = from[n];
    const end = offset + String.fromCodePoint(items[item].codePointAt(offset)).length;
    const last = ranges.at(-1);
    if (last?.item === item && !letters(items[item].slice(last.end, offset)).signs.length) last.end = end;
    else ranges.push({ item, start: offset, end });
  });
  return ranges;
};

const mark = (node, ranges) => {
  const text = node.textContent;
  const parts = [];
  let at = 0;
  for (const { start, end } of ranges) {
    const marked = document.createElement('mark');
    marked.textContent = text.slice(start, end);
    parts.push(text.slice(at, start), marked);
    at = end;
  }
  node.replaceChildren(...parts, text.slice(at));
};

// Draws a page as wide as its box and returns how many places of it are marked. `signal` cancels it.
export const draw = async (pdf, number, box, passage, signal) => {
  const page = await pdf.getPage(number);
  if (signal.aborted) return 0;
  const { width } = page.getViewport({ scale: 1 });
  const viewport = page.getViewport({ scale: box.clientWidth / width });
  const area = viewport.width * viewport.height;
  const sharp = Math.min(window.devicePixelRatio || 1, SHARPEST, Math.sqrt(MOST_PIXELS / area));
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [Math.floor(viewport.width * sharp), Math.floor(viewport.height * sharp)];
  canvas.setAttribute('aria-hidden', 'true');
  const drawing = page.render({ canvas, viewport, transform: [sharp, 0, 0, sharp, 0, 0] });
  signal.addEventListener('abort', () => drawing.cancel());
  const layer = document.createElement('div');
  layer.className = 'tt-pdf-text';
  layer.style.setProperty('--total-scale-factor', viewport.scale);
  const text = new TextLayer({ textContentSource: page.streamTextContent(), container: layer, viewport });
  await Promise.all([drawing.promise, text.render()]);
  if (signal.aborted) return 0;
  const ranges = passage ? find(passage, text.textContentItemsStr) : [];
  new Set(ranges.map(({ item }) => item)).forEach((item) => mark(text.textDivs[item], ranges.filter((range) => range.item === item)));
  box.replaceChildren(canvas, layer);
  return ranges.length;
};
