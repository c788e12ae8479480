// Part of Compare.jsx: one answer with its citations, thumbs and reasons.

const Answer = ({ card, side, act, openDocument }) => {
  const [opened, setOpened] = useState([]);
  const reveal = card.reveal?.sides[side.side];
  const toggle = (rank) => setOpened((now) => (now.includes(rank) ? now.filter((r) => r !== rank) : [...now, rank]));
  const open = (rank) => (side.answer ? openDocument(side, rank) : setOpened((now) => [...now, rank]));
  const busy = isBusy(side);
  return (
    <section className="tt-side" aria-label={`Answer ${side.side}`} aria-busy={busy} data-state={side.state}>
      <header className="tt-head">
        <span className="tt-letter">{side.side}</span>
        <span className="tt-name">{reveal ? reveal.arm : `Answer ${side.side}`}</span>
        {reveal?.model ? <span className="tt-model">{reveal.model}</span> : null}
      </header>
      <Text side={side} open={open} />
      <Legend sources={side.sources} />
      {busy && !side.text ? <Waiting found={side.sources.length} /> : null}
      {side.error ? (
        <p className="tt-error" role="alert">
          {side.error}{' '}
          {card.query ? (
            <button type="button" className="tt-retry" onClick={once(() => act.ask(card.query))}>
              <RotateCw size={14} aria-hidden="true" /> Ask again
            </button>
          ) : null}
        </p>
      ) : null}
      {side.answer ? <Thumbs side={side} act={act} /> : null}
      <Passages side={side} card={card} opened={opened} toggle={toggle} open={open} mark={act.mark} />
      {reveal?.times ? <p className="tt-times">{reveal.times}</p> : null}
    </section>
  );
};

// The answer. A citation previews its passage on hover or focus, and opens the document on click.
const Text = ({ side, open }) => {
  const [preview, setPreview] = useState(null);
  const rankAt = (event) => {
    const link = event.target.closest?.('a[href^="#passage-"]');
    return link ? { rank: parseInt(link.getAttribute('href').slice('#passage-'.length), 10), link } : null;
  };
  const click = (event) => {
    const cited = rankAt(event);
    if (!cited) return;
    event.preventDefault();
    setPreview(null);
    open(cited.rank);
  };
  const point = (event) => {
    const cited = rankAt(event);
    const source = cited && side.sources.find((each) => each.rank === cited.rank);
    setPreview(source?.text ? { source, top: cited.link.offsetTop + cited.link.offsetHeight + 4 } : null);
  };
  const hide = () => setPreview(null);
  // Memoised, or it would be mounted again: a link replaced between mouse down and mouse up gets no click.
  const markdown = useMemo(() => <Markdown>{side.text}</Markdown>, [side.text]);
  if (!side.text) return null;
  return (
    <div
      className="tt-text"
      onClick={click}
      onMouseOver={point}
      onMouseLeave={hide}
      onFocus={point}
      onBlur={hide}
      onKeyDown={(event) => event.key === 'Escape' && hide()}
    >
      {markdown}
      {preview ? (
        <div className="tt-preview" role="tooltip" style={{ top: preview.top }}>
          <strong>{preview.source.title}</strong> {preview.source.heading}
          <p>{shortened(preview.source.text)}</p>
        </div>
      ) : null}
    </div>
  );
};

// What the two kinds of marks mean that the model did not write itself.
const Legend = ({ sources }) => {
  const drawn = sources.some((source) => source.attributed);
  const wrong = sources.some((source) => source.unsupported);
  if (!drawn && !wrong) return null;
  return (
    <p className="tt-legend">
      {drawn ? (
        <span>
          <span className="tt-from">from passage</span> written without a citation; this passage says the same.
        </span>
      ) : null}
      {wrong ? (
        <span>
          <span className="tt-wrong">not supported</span> the cited passage does not seem to say this: check it.
        </span>
      ) : null}
    </p>
  );
};

const shortened = (text) => (text.length > PREVIEW_CHARS ? `${text.slice(0, PREVIEW_CHARS).trimEnd()}…` : text);

const Waiting = ({ found }) => (
  <p className="tt-waiting">{found ? `Reading ${found} passages…` : 'Searching…'}</p>
);

// A vote is shown only when the server has saved it and sent the updated card.
const Thumbs = ({ side, act }) => {
  const thumb = (value, Icon, word) => (
    <button
      type="button"
      className="tt-thumb"
      data-value={value}
      aria-pressed={side.vote === value}
      aria-label={`Answer ${side.side} is ${word.toLowerCase()}`}
      title={side.vote === value ? 'Click again to undo' : undefined}
      onClick={once(() => act.vote(side.side, value))}
    >
      <Icon size={18} aria-hidden="true" />
      {word}
    </button>
  );
  return (
    <div className="tt-thumbs" role="group" aria-label={`Rate answer ${side.side}`}>
      {thumb(1, ThumbsUp, 'Good')}
      {thumb(-1, ThumbsDown, 'Bad')}
      {side.vote === -1 ? <Why side={side} explain={(changes) => act.explain(side.side, changes)} /> : null}
    </div>
  );
};

const Why = ({ side, explain }) => {
  const [draft, setDraft] = useState(side.comment);
  useEffect(() => {
    setDraft(side.comment);
  }, [side.comment]);
  const keep = () => draft.trim() !== side.comment && explain({ comment: draft });
  return (
    <div className="tt-why" role="group" aria-label={`Why is answer ${side.side} bad?`}>
      {REASONS.map((reason) => (
        <button
          key={reason}
          type="button"
          className="tt-chip"
          aria-pressed={side.reason === reason}
          onClick={once(() => explain({ reason: side.reason === reason ? '' : reason }))}
        >
          {reason}
        </button>
      ))}
      <input
        aria-label={`Comment on answer ${side.side}`}
        placeholder="Comment (optional), press Enter to save"
        maxLength={1000}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={keep}
        onKeyDown={(event) => event.key === 'Enter' && event.target.blur()}
      />
    </div>
  );
};
