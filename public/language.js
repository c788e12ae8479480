// The page's texts in the reader's language: `thumbtune.t('card.reading', { n: 5 })`. The server sends this file with the
// texts of one language after it (chat/web/language_file.py); chat/language.py does the same for what the server writes.
window.thumbtune = (() => {
  let language = 'en-US';
  let texts = {};

  const shown = (value, decimals) => {
    if (typeof value !== 'number') return String(value);
    const marks = { ',': texts['number.group'], '.': texts['number.decimal'] };
    const digits = decimals ? { minimumFractionDigits: Number(decimals), maximumFractionDigits: Number(decimals) } : {};
    return value.toLocaleString('en-US', digits).replace(/[,.]/g, (mark) => marks[mark]);
  };

  // A text with its values; where it has two forms, the one for `n`.
  const t = (key, values = {}) => {
    const found = texts[key] ?? key;
    const text = typeof found === 'string' ? found : found[values.n === 1 ? 'one' : 'other'];
    return text.replace(/\{(\w+)(?::\.(\d)f)?\}/g, (whole, name, decimals) => (name in values ? shown(values[name], decimals) : whole));
  };

  // 1st, 2nd, 3rd, 4th, and so on.
  const nth = (n) => t(`ordinal.${new Intl.PluralRules(language, { type: 'ordinal' }).select(n)}`, { n });

  const day = (when) => new Date(when).toLocaleString(language, { dateStyle: 'medium', timeStyle: 'short' });

  // The links to passages in an answer that have words for names (chat/elements/markdown.py).
  const linked = (answer) =>
    answer
      .replace(/\[from passage (\d+)\](?=\(#passage-)/g, (_, rank) => `[${t('card.from_passage', { rank })}]`)
      .replace(/\[(\d+) not supported\](?=\(#passage-)/g, (_, rank) => `[${t('card.unsupported', { rank })}]`);

  const start = (spoken, known) => {
    language = spoken;
    texts = known;
    document.documentElement.style.setProperty('--tt-intro', JSON.stringify(t('app.intro'))); // for style.css
  };
  return { t, nth, day, linked, start };
})();
