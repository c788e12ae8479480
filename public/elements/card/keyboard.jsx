// Part of Compare.jsx: keyboard shortcuts and arrow keys.

// Keys work wherever the focus is in the card, except in its text fields.
const press = (event, root, act, sender, card, copy) => {
  if (event.target.closest('input, textarea') || event.ctrlKey || event.metaKey || event.altKey) return;
  const passage = event.target.closest('[data-passage]');
  const at = passage ? [passage.dataset.side, Number(passage.dataset.passage)] : null;
  const key = event.key.toLowerCase();
  const choice = choicesOf(card).find((each) => each.key === key);
  const within = event.target.closest('.tt-side');
  const acts = {
    a: () => act.vote('A', event.shiftKey ? -1 : 1),
    b: () => act.vote('B', event.shiftKey ? -1 : 1),
    u: sender.undo,
    r: canAskAgain(card) && (() => act.ask(card.query)),
    c: () => copy(within?.dataset.side ?? 'A'),
    y: at && (() => act.mark(...at, 1)),
    n: at && (() => act.mark(...at, -1)),
    o: at && (() => passage.dispatchEvent(new CustomEvent('tt-open', { bubbles: true }))),
    arrowdown: () => step(root, passage, 1, 0),
    arrowup: () => step(root, passage, -1, 0),
    arrowright: () => step(root, passage, 0, 1),
    arrowleft: () => step(root, passage, 0, -1),
  };
  const doIt = choice ? () => act.choose(choice.choice) : acts[key];
  if (!doIt) return;
  event.preventDefault();
  event.stopPropagation();
  if (!event.repeat || key.startsWith('arrow')) doIt();
};

const step = (root, from, down, across) => {
  const columns = [...root.querySelectorAll('.tt-side')].map((side) => [...side.querySelectorAll('[data-passage]')]);
  const column = Math.max(0, columns.findIndex((passages) => passages.includes(from)));
  const row = columns[column].indexOf(from);
  const target = columns[Math.min(columns.length - 1, Math.max(0, column + across))];
  target[Math.min(target.length - 1, Math.max(0, row + down))]?.focus();
};
