// A popup at the input, opened by its button; a second click, Escape and a click elsewhere close it. For picker.js and
// options.js.
export const make = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

// `root` holds both; `draw` shows whether the popup is open, `fill` makes what is in it and takes the focus.
export const openBy = (opener, popup, root, draw, fill) => {
  opener.setAttribute('aria-haspopup', 'dialog');
  popup.setAttribute('role', 'dialog');
  const close = () => {
    if (popup.hidden) return;
    popup.hidden = true;
    draw();
  };
  opener.addEventListener('click', () => {
    if (!popup.hidden) {
      close();
      return;
    }
    popup.hidden = false;
    draw();
    fill();
  });
  root.addEventListener('keydown', (event) => {
    event.stopPropagation(); // Chainlit's input has shortcuts of its own
    if (event.key !== 'Escape' || popup.hidden) return;
    event.preventDefault();
    close();
    opener.focus();
  });
  document.addEventListener('pointerdown', (event) => {
    if (!root.contains(event.target)) close();
  });
};
