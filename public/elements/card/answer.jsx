// Part of Compare.jsx: one answer with its citations, thumbs and reasons.

const Answer = ({ card, side, act, openDocument, copy, copied }) => {
  const [opened, setOpened] = useState([]);
  const reveal = card.reveal?.sides[side.side];
  const toggle = (rank) => setOpened((now) => (now.includes(rank) ? now.filter((r) => r !== rank) : [...now, rank]));
  const open = (rank) => (side.answer ? openDocument(side, rank) : setOpened((now) => [...now, rank]));
  const busy = isBusy(side);
  return (
    <section className="tt-side" aria-label={t('card.answer', { side: side.side })} aria-busy={busy} data-state={side.state} data-side={side.side}>
      <header className="tt-head">
        <span className="tt-letter">{side.side}</span>
        <span className="tt-name">{reveal ? reveal.arm : t('card.answer', { side: side.side })}</span>
        {reveal?.model ? <span className="tt-model">{reveal.model}</span> : null}
      </header>
      <Text side={side} open={open} />
      <Legend sources={side.sources} />
      {busy && !side.text ? <Waiting found={side.sources.length} /> : null}
      {side.error ? (
        <p className="tt-error" role="alert">
          {side.error}{' '}
          {side.cut ? (
            <button type="button" className="tt-retry" onClick={once(() => act.goOn(side.cut))}>
              <StepForward size={14} aria-hidden="true" /> {t('tools.continue')}
            </button>
          ) : null}{' '}
          {card.query ? (
            <button type="button" className="tt-retry" onClick={once(() => act.ask(card.query))}>
              <RotateCw size={14} aria-hidden="true" /> {t('card.ask_again')}
            </button>
          ) : null}
        </p>
      ) : null}
      {side.text && !busy ? (
        <div className="tt-thumbs">
          {side.answer ? <Thumbs side={side} act={act} /> : null}
          <button type="button" className="tt-quiet tt-copy" aria-label={t('tools.copy_name', { side: side.side })} title={t('tools.copy_hint')} onClick={() => copy(side.side)}>
            {copied === side.side ? <Check size={14} aria-hidden="true" /> : <Copy size={14} aria-hidden="true" />}
            <span role="status">{t(copied === side.side ? 'tools.copied' : 'tools.copy')}</span>
          </button>
          {side.vote === -1 ? <Why side={side} explain={(changes) => act.explain(side.side, changes)} /> : null}
        </div>
      ) : null}
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
  const markdown = useMemo(() => <Markdown>{linked(side.text)}</Markdown>, [side.text]);
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
          <p>{drawn([shortened(preview.source.text)], preview.source.form, preview.source.fence)}</p>
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
          <span className="tt-from">{t('card.from_mark')}</span> {t('card.from_meaning')}
        </span>
      ) : null}
      {wrong ? (
        <span>
          <span className="tt-wrong">{t('card.unsupported_mark')}</span> {t('card.unsupported_meaning')}
        </span>
      ) : null}
    </p>
  );
};

const shortened = (text) => (text.length > PREVIEW_CHARS ? `${text.slice(0, PREVIEW_CHARS).trimEnd()}…` : text);

const Waiting = ({ found }) => (
  <p className="tt-waiting">{found ? t('card.reading', { n: found }) : t('page.searching')}</p>
);

// A vote is shown only when the server has saved it and sent the updated card.
const Thumbs = ({ side, act }) => {
  const thumb = (value, Icon, word, name) => (
    <button
      type="button"
      className="tt-thumb"
      data-value={value}
      aria-pressed={side.vote === value}
      aria-label={t(name, { side: side.side })}
      title={side.vote === value ? t('card.undo_hint') : undefined}
      onClick={once(() => act.vote(side.side, value))}
    >
      <Icon size={18} aria-hidden="true" />
      {t(word)}
    </button>
  );
  return (
    <div className="tt-thumb-pair" role="group" aria-label={t('card.rate', { side: side.side })}>
      {thumb(1, ThumbsUp, 'card.good', 'card.is_good')}
      {thumb(-1, ThumbsDown, 'card.bad', 'card.is_bad')}
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
    <div className="tt-why" role="group" aria-label={t('card.why_bad', { side: side.side })}>
      {Object.entries(REASONS).map(([reason, name]) => (
        <button
          key={reason}
          type="button"
          className="tt-chip"
          aria-pressed={side.reason === reason}
          onClick={once(() => explain({ reason: side.reason === reason ? '' : reason }))}
        >
          {t(name)}
        </button>
      ))}
      <input
        aria-label={t('card.comment', { side: side.side })}
        placeholder={t('card.comment_hint')}
        maxLength={1000}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={keep}
        onKeyDown={(event) => event.key === 'Enter' && event.target.blur()}
      />
    </div>
  );
};
