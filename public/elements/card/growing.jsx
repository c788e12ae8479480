// Part of Compare.jsx: while an answer is written, the server sends what was added to it, not the whole card.

// Returns a text with what was added; null where the page has another text than the server added to.
const grown = (text, { had, keep, add }) => (text.length === had ? text.slice(0, keep) + add : null);

// Hears for all cards of the page, once for each socket. What does not fit is asked for whole.
const hearTexts = (socket, setElements, refresh) => {
  socket.off('card_text', socket.thumbtuneTexts);
  socket.thumbtuneTexts = ({ id, texts }) =>
    setElements((elements) =>
      elements.map((element) => {
        if (element.id !== id) return element;
        const sides = element.props.sides.map((side, nth) => ({ ...side, text: grown(side.text, texts[nth]) }));
        if (sides.some((side) => side.text === null)) {
          refresh();
          return element;
        }
        return { ...element, props: { ...element.props, sides } };
      }),
    );
  socket.on('card_text', socket.thumbtuneTexts);
};
