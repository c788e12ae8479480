// Part of Compare.jsx: the passages of one answer, and opening one in its document.

const Passages = ({ side, card, ...rest }) => {
  if (!side.sources.length) return side.state === 'done' ? <p className="tt-none">{t('card.no_passages')}</p> : null;
  const cited = side.sources.filter((source) => source.cited);
  const drawn = side.sources.filter((source) => source.attributed && !source.cited);
  const others = side.sources.filter((source) => !source.cited && !source.attributed);
  const list = (title, sources) =>
    sources.length ? (
      <div className="tt-passages">
        <h4>{title}</h4>
        <ul>
          {sources.map((source) => (
            <Passage key={source.rank} side={side} source={source} found={foundBy(card, side, source)} {...rest} />
          ))}
        </ul>
      </div>
    ) : null;
  return (
    <>
      {list(t('card.cited'), cited)}
      {list(t('card.used'), drawn)}
      {list(t(cited.length || drawn.length ? 'card.also_retrieved' : 'card.retrieved'), others)}
    </>
  );
};

const DEEP = 50; // ranks that the server knows (chat/elements/reveal.py)

// What the reveal shows of one passage: its score, whether the other arm found it, and its rank by the other arm's model.
const foundBy = (card, side, source) => {
  const reveal = card.reveal?.sides[side.side];
  if (!reveal) return {};
  const other = Object.values(card.reveal.sides).find((each) => each !== reveal)?.arm;
  const at = source.rank - 1;
  const rank = reveal.elsewhere?.[at];
  const known = rank !== undefined && rank !== null;
  const ranked = (short) =>
    rank
      ? t(short ? 'card.ranked' : 'card.ranked_long', { nth: nth(rank), model: other })
      : t(short ? 'card.not_in_top' : 'card.not_in_top_long', { n: DEEP, model: other });
  const telling = known && (source.cited || source.attributed) && rank !== source.rank;
  return {
    score: reveal.scores[at],
    badge: reveal.alone[at] ? t('card.only_by', { model: reveal.arm }) : '',
    words: reveal.words?.[at],
    short: telling ? ranked(true) : '',
    long: known ? ranked(false) : '',
  };
};

const Passage = ({ side, source, found, opened, toggle, open, mark }) => {
  const row = useRef(null);
  const isOpen = opened.includes(source.rank);
  const canOpen = Boolean(side.answer);
  useEffect(() => {
    const node = row.current;
    const openIt = () => canOpen && open(source.rank);
    node?.addEventListener('tt-open', openIt);
    return () => node?.removeEventListener('tt-open', openIt);
  });
  const marking = (value, Icon, name, hint) => (
    <button
      type="button"
      className="tt-mark"
      data-value={value}
      aria-pressed={source.mark === value}
      aria-label={t(name, { rank: source.rank, side: side.side })}
      title={t(hint)}
      onClick={once(() => mark(side.side, source.rank, value))}
    >
      <Icon size={15} aria-hidden="true" />
    </button>
  );
  return (
    <li className="tt-passage" data-cited={source.cited} data-attributed={source.attributed} data-rank={source.rank} data-mark={source.mark}>
      <div className="tt-row">
        <button
          type="button"
          className="tt-open"
          ref={row}
          data-passage={source.rank}
          data-side={side.side}
          aria-expanded={isOpen}
          disabled={!source.text}
          onClick={() => toggle(source.rank)}
          title={place(source)}
        >
          <span className="tt-rank">{source.rank}</span>
          <span className="tt-where">
            <span className="tt-title">
              {source.title}
              {source.page ? <span className="tt-page">, {t('page.page', { page: source.page })}</span> : null}
            </span>
            {source.heading ? <span className="tt-heading">{source.heading}</span> : null}
          </span>
          {found.badge ? <span className="tt-alone">{found.badge}</span> : null}
          {found.short ? <span className="tt-alone" title={found.long}>{found.short}</span> : null}
          {found.words ? <span className="tt-alone" title={t('card.keyword_hint')}>{t('card.keyword')}</span> : null}
          {found.score ? <span className="tt-score" title={t('card.score_hint')}>{found.score}</span> : null}
          <ChevronRight className="tt-chevron" size={16} aria-hidden="true" />
        </button>
        {canOpen ? marking(1, Check, 'card.is_relevant', 'card.relevant_hint') : null}
        {canOpen ? marking(-1, X, 'card.is_not_relevant', 'card.not_relevant_hint') : null}
      </div>
      {isOpen ? (
        <>
          <div className="tt-fulltext">{drawn([source.text], source.form, source.fence)}</div>
          <p className="tt-more">
            {canOpen ? (
              <button type="button" className="tt-link" onClick={() => open(source.rank)}>
                <BookOpen size={13} aria-hidden="true" /> {t('card.open')}
              </button>
            ) : null}{' '}
            {found.long}
          </p>
        </>
      ) : null}
    </li>
  );
};

// Source.jsx draws the document in Chainlit's side panel. The passage is put among the chat's elements, and Chainlit opens
// the panel for one that is new. Put into the panel alone it would be gone with the next thumb or word of an answer:
// whenever an element of the chat changes, Chainlit closes a panel that shows none of them.
const useDocument = (sender) => {
  const setElements = useSetRecoilState(elementState);
  return async (side, rank) => {
    const found = await sender.call('passage', { answer: side.answer, rank });
    if (found.error) {
      sender.fail({ what: 'card.not_opened', error: found.error });
      return;
    }
    const id = `tt-source-${side.answer}-${rank}`;
    const element = { id, type: 'custom', name: 'Source', display: 'side', forId: id, props: found };
    setElements((all) => [...all.filter((each) => each.display !== 'side'), element]);
  };
};
