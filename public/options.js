// What a person chooses for their own questions, at the input: how many passages, how they are found, what writes. Kept in
// this browser and posted to the server (chat/actions/options.py), which says first what can be chosen.
// Plain DOM, as in picker.js.
import { make, openBy } from './popup.js';

const { t } = window.thumbtune;
const KEPT = 'thumbtune-options';
const SLIDERS = '<svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" aria-hidden="true"><path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/></svg>';
const NAMES = {
  k: (value) => String(value),
  search: (value) => t(value === 'hybrid' ? 'options.hybrid' : 'options.dense'),
  llm: (value) => (value === 'extractive' ? t('options.quotes') : value.replace(/^openai:/, '')),
};
const LABELS = { k: t('options.k'), search: t('options.search'), llm: t('options.llm') };

const read = () => {
  try {
    const kept = JSON.parse(localStorage[KEPT] ?? '{}');
    return kept && typeof kept === 'object' && !Array.isArray(kept) ? kept : {};
  } catch {
    return {};
  }
};
let chosen = read(); // only what differs from the server's settings
let offer = null;
const post = () => window.postMessage({ options: chosen }, window.location.origin);

const opener = make('button', { type: 'button', className: 'tt-pick-open tt-options-open', title: t('options.label') });
const popup = make('div', { className: 'tt-pick-popup tt-options-popup', hidden: true });
popup.setAttribute('aria-label', t('options.label'));
const root = make('div', { className: 'tt-options', hidden: true }, opener, popup);

const choose = (name, value) => {
  chosen = { ...chosen, [name]: value };
  if (value === offer.default[name]) delete chosen[name];
  localStorage[KEPT] = JSON.stringify(chosen);
  post();
  draw();
};
const field = (name) => {
  const select = make('select', { ariaLabel: LABELS[name] });
  offer[name].forEach((value, n) => {
    const label = value === offer.default[name] ? t('options.default', { value: NAMES[name](value) }) : NAMES[name](value);
    const isChosen = value === (chosen[name] ?? offer.default[name]);
    select.append(make('option', { value: String(n), textContent: label, selected: isChosen }));
  });
  select.addEventListener('change', () => choose(name, offer[name][Number(select.value)]));
  return make('label', {}, make('span', { textContent: LABELS[name] }), select);
};
const draw = () => {
  const isOwn = Object.keys(chosen).length > 0;
  opener.innerHTML = SLIDERS;
  opener.append(make('span', { className: isOwn ? '' : 'sr-only', textContent: t(isOwn ? 'options.own' : 'options.label') }));
  opener.setAttribute('aria-expanded', String(!popup.hidden));
};
const fill = () => {
  const reset = make('button', { type: 'button', className: 'tt-quiet', textContent: t('options.reset') });
  reset.addEventListener('click', () => {
    Object.keys(chosen).forEach((name) => choose(name, offer.default[name]));
    fill();
  });
  const names = ['k', 'search', 'llm'].filter((name) => offer[name].length > 1);
  popup.replaceChildren(...names.map(field), make('p', { className: 'tt-pick-note', textContent: t('options.note') }), reset);
  popup.querySelector('select').focus();
};

openBy(opener, popup, root, draw, fill);

window.addEventListener('message', ({ data, source }) => {
  if (source !== window || !data?.offers_options) return;
  offer = data.offers_options;
  chosen = Object.fromEntries(
    Object.entries(chosen).filter(([name, value]) => offer[name]?.includes(value) && value !== offer.default[name]),
  );
  root.hidden = false;
  post();
  draw();
});
const place = () => {
  const picker = document.querySelector('#message-composer .tt-pick');
  if (picker && picker.previousElementSibling !== root) picker.before(root);
};
new MutationObserver(place).observe(document.documentElement, { childList: true, subtree: true });
draw();
place();
