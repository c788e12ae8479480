// The picker at the input: which documents or folders the next questions search. What is chosen is shown as chips, kept
// for this tab, and posted to the server, which puts it before each question as a filter (chat/actions/scope.py).
// Plain DOM, as in app.js: Chainlit's input has no place for it, and is sometimes rebuilt; then it is added again.
import { make, openBy } from './popup.js';

const { t } = window.thumbtune;
const KEPT = 'thumbtune-scope';
const MOST = 8; // places at a time
const PAUSE_MS = 200; // without typing before the search starts
const FUNNEL = '<svg viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M4 5h16l-6 8v5l-4 2v-7z"/></svg>';

const read = () => {
  try {
    const kept = JSON.parse(sessionStorage[KEPT] ?? '[]');
    return Array.isArray(kept) ? kept.filter((each) => typeof each === 'string').slice(0, MOST) : [];
  } catch {
    return [];
  }
};
let chosen = read();
const post = () => window.postMessage({ scope: chosen }, window.location.origin);
const choose = (next) => {
  chosen = next.slice(0, MOST);
  sessionStorage[KEPT] = JSON.stringify(chosen);
  post();
  draw();
};
const toggle = (source) => choose(chosen.includes(source) ? chosen.filter((each) => each !== source) : [...chosen, source]);

const nameOf = (source) => source.split('/').at(-1) || source;

// --- the list --------------------------------------------------------------------------------------------------
const field = make('input', { type: 'search', autocomplete: 'off', placeholder: t('pick.hint'), ariaLabel: t('pick.field') });
const list = make('ul', { className: 'tt-pick-list', ariaLabel: t('pick.list') });
const note = make('p', { className: 'tt-pick-note' });
note.setAttribute('role', 'status');
const popup = make('div', { className: 'tt-pick-popup', hidden: true }, field, list, note);
popup.setAttribute('aria-label', t('pick.label'));
const opener = make('button', { type: 'button', className: 'tt-pick-open' });
const chips = make('span', { className: 'tt-pick-chips' });
const root = make('div', { className: 'tt-pick' }, opener, chips, popup);

const draw = () => {
  opener.innerHTML = FUNNEL;
  opener.append(make('span', { textContent: t(chosen.length ? 'pick.only' : 'pick.all') }));
  opener.setAttribute('aria-expanded', String(!popup.hidden));
  chips.replaceChildren(
    ...chosen.map((source) => {
      const clear = make('button', { type: 'button', textContent: '×', ariaLabel: t('pick.clear', { source }) });
      clear.addEventListener('click', () => {
        toggle(source);
        opener.focus();
      });
      return make('span', { className: 'tt-pick-chip', title: source }, make('span', { textContent: nameOf(source) }), clear);
    }),
  );
  list.querySelectorAll('button').forEach((each) => each.setAttribute('aria-pressed', String(chosen.includes(each.value))));
};

const row = ({ source, title, documents, is_folder: isFolder }) => {
  const about = isFolder ? t('pick.folder', { n: documents }) : title === nameOf(source) ? '' : title;
  const button = make('button', { type: 'button', value: source }, make('span', { textContent: isFolder ? `${source}/` : source }));
  if (about) button.append(make('small', { textContent: about }));
  button.addEventListener('click', () => toggle(source));
  return make('li', {}, button);
};
let turn = 0;
let timer = null;
const search = async () => {
  clearTimeout(timer);
  const mine = ++turn;
  const reply = await fetch(`/documents.json?q=${encodeURIComponent(field.value)}`).catch(() => null);
  const answer = reply?.ok ? await reply.json() : null;
  if (mine !== turn) return;
  if (!answer) {
    note.textContent = t('pick.failed');
    return;
  }
  list.replaceChildren(...answer.found.map(row));
  const more = answer.total - answer.found.length;
  note.textContent = answer.total ? (more ? t('pick.more', { n: more }) : '') : t('pick.none');
  draw();
};

openBy(opener, popup, root, draw, () => {
  field.value = '';
  field.focus();
  search();
});
field.addEventListener('input', () => {
  clearTimeout(timer);
  timer = setTimeout(search, PAUSE_MS);
});
root.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && event.target === field) {
    event.preventDefault();
    list.querySelector('button')?.click();
  }
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
  const stops = [field, ...list.querySelectorAll('button')];
  const next = stops[stops.indexOf(document.activeElement) + (event.key === 'ArrowDown' ? 1 : -1)];
  if (!next || popup.hidden) return;
  event.preventDefault();
  next.focus();
});

// --- the page --------------------------------------------------------------------------------------------------
window.addEventListener('message', ({ data, source }) => {
  if (source === window && data?.asks_scope) post();
});
const place = () => {
  const row = document.querySelector('#upload-button, #upload-button-loading')?.closest('#message-composer .flex');
  if (row && root.parentElement !== row) row.append(root);
};
new MutationObserver(place).observe(document.documentElement, { childList: true, subtree: true });
draw();
place();
