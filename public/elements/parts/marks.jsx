// Part of Source.jsx, Compare.jsx, Teach.jsx and Review.jsx: a passage's marks, drawn. `form` is that of chat/elements/marks.py.

// Draws the marks of headings, lists, tables and code as what they mean. Each mark stays in the text, hidden: what is
// selected, searched and tested is the document's text to the letter. Code is never changed.
const Sign = ({ children }) => <span hidden>{children}</span>;
const INLINE = /(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)|\\([\\`*_{}[\]()#+.!|<>~-])/g;
const MARKDOWN = new RegExp(`${INLINE.source}|(\\*\\*)(?=\\S)(.+?)(?<=\\S)\\4|(!?\\[)([^\\[\\]\\n]+)(\\]\\([^()\\s]*\\))`, 'g');

const inline = (line, form) => {
  const parts = [];
  let at = 0;
  for (const found of line.matchAll(form === 'markdown' ? MARKDOWN : INLINE)) {
    const [whole, ticks, code, escaped, bold, strong, link, label, target] = found;
    parts.push(line.slice(at, found.index));
    if (ticks) parts.push(<Sign>{ticks}</Sign>, <code>{code}</code>, <Sign>{ticks}</Sign>);
    else if (escaped) parts.push(<Sign>\</Sign>, escaped);
    else if (bold) parts.push(<Sign>{bold}</Sign>, <strong>{strong}</strong>, <Sign>{bold}</Sign>);
    else parts.push(<Sign>{link}</Sign>, label, <Sign>{target}</Sign>);
    at = found.index + whole.length;
  }
  return [...parts, line.slice(at)].map((part, key) => <Fragment key={key}>{part}</Fragment>);
};

const isRow = (line) => /^\s*\|.*\|\s*$/.test(line);
const row = (line, key, isLast) => {
  const end = isLast ? '' : '\n';
  if (/^[\s|:-]+$/.test(line)) return <Sign key={key}>{line + end}</Sign>;
  const cells = line.split(/(?<!\\)\|/);
  return (
    <span key={key} className="tt-md-row">
      <Sign>{cells[0]}|</Sign>
      {cells.slice(1, -1).map((cell, index) => (
        <Fragment key={index}>
          <span className="tt-md-cell">{inline(cell, 'marked')}</span>
          <Sign>|</Sign>
        </Fragment>
      ))}
      <Sign>{cells.at(-1) + end}</Sign>
    </span>
  );
};

const plainLine = (line, form) => {
  const heading = /^(#{1,6} )(.*)$/.exec(line);
  if (heading) return <><Sign>{heading[1]}</Sign><strong className="tt-md-heading">{inline(heading[2], form)}</strong></>;
  const item = /^(\s*)([-*] )(.*)$/.exec(line);
  if (item) return <>{item[1]}<span className="tt-md-bullet"><Sign>{item[2]}</Sign></span>{inline(item[3], form)}</>;
  return inline(line, form);
};

// Returns the parts of a text as nodes; a fence that opens in one of them may close in the next. `before` is one that opened
// before the first. A card that was saved by an earlier release has no `form`.
const drawn = (texts, form = 'plain', before = '') => {
  if (form === 'plain') return texts;
  let fence = before;
  return texts.map((text) => {
    const lines = text.split('\n');
    const nodes = [];
    for (let n = 0; n < lines.length; n += 1) {
      const isLast = n === lines.length - 1;
      const found = /^\s*(`{3,}|~{3,})/.exec(lines[n]);
      if (found && (!fence || lines[n].trim() === fence)) {
        fence = fence ? '' : found[1];
        nodes.push(<Sign key={n}>{lines[n] + (isLast ? '' : '\n')}</Sign>);
      } else if (fence) {
        const start = n;
        while (n + 1 < lines.length && lines[n + 1].trim() !== fence) n += 1;
        nodes.push(<code key={start} className="tt-md-code">{lines.slice(start, n + 1).join('\n') + (n === lines.length - 1 ? '' : '\n')}</code>);
      } else if (isRow(lines[n])) {
        const start = n;
        while (n + 1 < lines.length && isRow(lines[n + 1])) n += 1;
        nodes.push(<span key={start} className="tt-md-table">{lines.slice(start, n + 1).map((line, at) => row(line, at, start + at === lines.length - 1))}</span>);
      } else {
        nodes.push(<Fragment key={n}>{plainLine(lines[n], form)}{isLast ? '' : '\n'}</Fragment>);
      }
    }
    return nodes;
  });
};
