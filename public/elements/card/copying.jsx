// Part of Compare.jsx: copy an answer with its sources, as plain text.

const COPIED_MS = 2000;

// The server's Markdown has links for citations, and a backslash before what Chainlit would take as a mark of its own.
const plainAnswer = (text) =>
  text
    .replaceAll('\u200b', '')
    .replace(/\[[^\]\d]*(\d+)[^\]]*\]\(#passage-\d+[^)]*\)/g, '[$1]')
    .replace(/(```[\s\S]*?```|`[^`\n]*`)|\\([:[\]])/g, (_, code, mark) => code ?? mark);

const plainText = (side) => {
  const used = side.sources.filter((source) => source.cited || source.attributed);
  const lines = used.map((source) => `[${source.rank}] ${place(source)}${source.page ? `, ${t('page.page', { page: source.page })}` : ''}`);
  return [plainAnswer(side.text).trim(), ...(lines.length ? [`${t('tools.sources')}\n${lines.join('\n')}`] : [])].join('\n\n');
};

// Browsers have a clipboard on https and localhost only; elsewhere the older command copies a selection.
const toClipboard = async (text) => {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const focused = document.activeElement;
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'tt-hidden';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  focused?.focus({ preventScroll: true });
  if (!done) throw new Error('refused');
};

// Returns the side whose answer was just copied, and a function that copies one.
const useCopy = (latest, sender) => {
  const [copied, setCopied] = useState('');
  const timer = useRef(null);
  useEffect(() => {
    return () => clearTimeout(timer.current);
  }, []);
  const copy = async (letter) => {
    const side = latest.current.sides.find((each) => each.side === letter);
    if (!side.text || isBusy(side)) return;
    try {
      await toClipboard(plainText(side));
      sender.fail(null);
    } catch {
      sender.fail({ what: 'tools.not_copied', error: t('tools.no_clipboard') });
      return;
    }
    clearTimeout(timer.current);
    setCopied(letter);
    timer.current = setTimeout(() => setCopied(''), COPIED_MS);
  };
  return [copied, copy];
};
