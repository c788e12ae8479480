// The comparison card: two answers to one question, side by side, with their passages and everything to rate them by.
// The server decides what the browser may know (`props` has the shape in chat/elements/card.py); this file only renders it.
//
// Chainlit runs this file again whenever the props change. A new component each time would be mounted again and lose
// scroll position, focus and open passages: so the component is created once per page and kept on `window`, and the
// export is an element of it. Change VERSION with every change of this file.
import { createElement, useEffect, useMemo, useRef, useState } from 'react';
import { useRecoilValue, useSetRecoilState } from 'recoil';
import { elementState, sessionState } from '@chainlit/react-client';
import { BookOpen, Check, ChevronRight, Equal, Pencil, RotateCw, ThumbsDown, ThumbsUp, Undo2, X } from 'lucide-react';
import { Markdown } from '@/components/markdown';

const VERSION = '10';
const KEY = `thumbtune-compare-${VERSION}`;
const LOST = 'no answer from the server. Reload the page and try again.';
const PREVIEW_CHARS = 320;
const REASONS = ['wrong source', 'incomplete', 'not in the documents', 'made up'];
const CHOICES = [
  { choice: 'A', key: '1', label: 'A is better', short: 'A' },
  { choice: 'B', key: '2', label: 'B is better', short: 'B' },
  { choice: 'tie', key: '0', label: 'Tie' },
  { choice: 'both bad', key: 'x', label: 'Both bad' },
];
const KEYS = '1 A is better · 2 B is better · 0 tie · x both bad · a, b: answer is good · Shift+a, b: answer is bad · '
  + 'arrow keys: passages · y relevant · n not relevant · Enter: text · o: document · u: undo';

if (!window[KEY]) {
  const isBusy = (side) => side.state === 'waiting' || side.state === 'streaming';
  const place = (source) => [source.source, source.heading].filter(Boolean).join(' > ');
  const once = (act) => (event) => event.detail > 1 || act(event); // ignore the second click of a double click

  // --- sending actions to the server: one at a time, with undo and retry ----------------------------------------------

  const useSender = (callAction) => {
    const [sending, setSending] = useState(0);
    const [failed, setFailed] = useState(null);
    const [canUndo, setCanUndo] = useState(false);
    const backs = useRef([]); // the action that undoes each saved one, latest last
    const queue = useRef(Promise.resolve()); // actions wait here while another one is being saved
    const call = async (name, payload) => {
      try {
        const result = await callAction({ name, payload });
        return result?.response ?? { error: LOST };
      } catch {
        return { error: LOST };
      }
    };
    const remember = (next) => {
      backs.current = next;
      setCanUndo(next.length > 0);
    };
    const keep = (name, back) => back && remember([...backs.current, [name, back]]);
    // `make` returns [name, payload, undo payload] when its turn comes, from the card as it is then; nothing to skip it.
    const send = (make, saved = keep) => {
      setSending((n) => n + 1);
      queue.current = queue.current.then(async () => {
        const [name, payload, back] = make() ?? [];
        if (name) {
          setFailed(null);
          const { error } = await call(name, payload);
          if (error) setFailed({ again: () => send(make, saved), error });
          else saved(name, back);
        }
        setSending((n) => n - 1);
      });
    };
    // Queued, too: the action to undo may not be saved yet.
    const undo = () => send(() => backs.current[backs.current.length - 1], () => remember(backs.current.slice(0, -1)));
    return { call, send, undo, sending: sending > 0, failed, canUndo, fail: setFailed };
  };

  // `latest` holds the card as the server last sent it; a queued action refers to that.
  const actsOf = (latest, sender) => {
    const byLetter = (letter) => latest.current.sides.find((side) => side.side === letter);
    const voteOf = ({ answer, vote, reason, comment }) => ({ answer, value: vote, reason, comment });
    return {
      vote: (letter, value) =>
        sender.send(() => {
          const side = byLetter(letter);
          return side.answer && ['vote', { answer: side.answer, value: side.vote === value ? 0 : value }, voteOf(side)];
        }),
      explain: (letter, changes) =>
        sender.send(() => {
          const before = voteOf(byLetter(letter));
          // send and undo only the changed fields: the card may not show the previous change yet
          const back = Object.fromEntries(Object.keys(changes).map((key) => [key, before[key]]));
          const vote = { answer: before.answer, value: -1 };
          return before.value === -1 && ['vote', { ...vote, ...changes }, { ...vote, ...back }];
        }),
      choose: (choice) =>
        sender.send(() => {
          const { sides, preference } = latest.current;
          if (!sides.every((side) => side.answer)) return null;
          const { answer } = sides[0];
          return ['choose', { answer, choice: preference === choice ? '' : choice }, { answer, choice: preference }];
        }),
      mark: (letter, rank, value) =>
        sender.send(() => {
          const { answer, sources } = byLetter(letter);
          const now = sources.find((source) => source.rank === rank)?.mark;
          return answer && ['mark', { answer, rank, value: now === value ? 0 : value }, { answer, rank, value: now }];
        }),
      ask: (query) => sender.send(() => ['reask', { query }]),
    };
  };

  // --- the card -------------------------------------------------------------------------------------------------------

  const Compare = ({ card, callAction }) => {
    const root = useRef(null);
    const latest = useRef(card);
    latest.current = card;
    const sender = useSender(callAction);
    const act = actsOf(latest, sender);
    const openDocument = useDocument(sender);
    const complete = card.sides.every((side) => side.answer);
    return (
      <div
        className="tt-card"
        ref={root}
        tabIndex={0}
        role="group"
        aria-label="Two answers to compare"
        aria-keyshortcuts="1 2 0 x a b Shift+A Shift+B y n o u"
        aria-busy={sender.sending}
        onKeyDown={(event) => press(event, root.current, act, sender)}
      >
        <Query card={card} ask={act.ask} />
        <Outcome card={card} />
        <div className="tt-sides">
          {card.sides.map((side) => (
            <Answer key={side.side} card={card} side={side} act={act} openDocument={openDocument} />
          ))}
        </div>
        {complete ? <Preference card={card} choose={act.choose} sender={sender} /> : <Saved sender={sender} />}
        <p className="tt-keys">{KEYS}</p>
      </div>
    );
  };

  // Keys work wherever the focus is in the card, except in its text fields.
  const press = (event, root, act, sender) => {
    if (event.target.closest('input, textarea') || event.ctrlKey || event.metaKey || event.altKey) return;
    const passage = event.target.closest('[data-passage]');
    const at = passage ? [passage.dataset.side, Number(passage.dataset.passage)] : null;
    const key = event.key.toLowerCase();
    const choice = CHOICES.find((each) => each.key === key);
    const acts = {
      a: () => act.vote('A', event.shiftKey ? -1 : 1),
      b: () => act.vote('B', event.shiftKey ? -1 : 1),
      u: sender.undo,
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

  // The query of both arms if it differs from the typed question; it can be edited and asked again.
  const Query = ({ card, ask }) => {
    const [draft, setDraft] = useState(null);
    const send = (event) => {
      event.preventDefault();
      if (draft.trim()) ask(draft);
      setDraft(null);
    };
    if (!card.asked && !card.hint) return null;
    return (
      <div className="tt-query">
        {card.asked && draft === null ? (
          <p>
            Searched for: <q>{card.query}</q>{' '}
            <button type="button" className="tt-link" onClick={() => setDraft(card.query)}>
              <Pencil size={13} aria-hidden="true" /> Edit
            </button>
          </p>
        ) : null}
        {draft !== null ? (
          <form onSubmit={send}>
            <input
              aria-label="What to search for"
              value={draft}
              autoFocus
              onChange={(event) => setDraft(event.target.value)}
              onKeyDown={(event) => event.key === 'Escape' && setDraft(null)}
            />
            <button type="submit" className="tt-button">Ask again</button>
          </form>
        ) : null}
        {card.hint ? <p>{card.hint}</p> : null}
      </div>
    );
  };

  const Outcome = ({ card }) => {
    const blind = card.sides.some((side) => side.answer || isBusy(side));
    const lines = card.reveal
      ? [card.reveal.summary, ...card.reveal.notes]
      : [card.same, blind && 'Rate one answer to see which model found it.'];
    return (
      <div className="tt-outcome" role="status" data-unveiled={Boolean(card.reveal)}>
        {lines.filter(Boolean).map((line) => (
          <p key={line}>{line}</p>
        ))}
        {card.trouble ? <p className="tt-error" role="alert">{card.trouble}</p> : null}
      </div>
    );
  };

  const Preference = ({ card, choose, sender }) => (
    <div className="tt-preference" role="group" aria-label="Which answer is better?">
      {CHOICES.map(({ choice, key, label, short }) => (
        <button
          key={choice}
          type="button"
          className="tt-choice"
          data-choice={choice}
          aria-pressed={card.preference === choice}
          aria-disabled={sender.sending}
          aria-label={label}
          title={card.preference === choice ? 'Click again to undo' : `Shortcut: ${key}, when the card has the focus`}
          onClick={once(() => choose(choice))}
        >
          {choice === 'tie' ? <Equal size={16} aria-hidden="true" /> : null}
          {choice === 'both bad' ? <X size={16} aria-hidden="true" /> : null}
          <span className="tt-long">{label}</span>
          <span className="tt-short">{short ?? label}</span>
        </button>
      ))}
      <Saved sender={sender} />
    </div>
  );

  const Saved = ({ sender }) => (
    <div className="tt-stored" role="status">
      {sender.failed ? (
        <p className="tt-error" role="alert">
          {sender.failed.what ?? 'Not saved'}: {sender.failed.error}{' '}
          {sender.failed.again ? (
            <button type="button" className="tt-retry" onClick={sender.failed.again}>
              <RotateCw size={14} aria-hidden="true" /> Retry
            </button>
          ) : null}
        </p>
      ) : null}
      {sender.canUndo && !sender.failed ? (
        <p>
          Saved.{' '}
          <button type="button" className="tt-link" onClick={sender.undo} aria-disabled={sender.sending}>
            <Undo2 size={13} aria-hidden="true" /> Undo
          </button>
        </p>
      ) : null}
    </div>
  );

  // --- one answer -----------------------------------------------------------------------------------------------------

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
      return link ? { rank: Number(link.getAttribute('href').slice('#passage-'.length)), link } : null;
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

  // --- its passages ---------------------------------------------------------------------------------------------------

  const Passages = ({ side, card, ...rest }) => {
    if (!side.sources.length) return side.state === 'done' ? <p className="tt-none">No passages found.</p> : null;
    const cited = side.sources.filter((source) => source.cited);
    const others = side.sources.filter((source) => !source.cited);
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
        {list('Cited', cited)}
        {list(cited.length ? 'Also retrieved' : 'Retrieved', others)}
      </>
    );
  };

  const ordinal = (n) => {
    const ending = n % 100 > 10 && n % 100 < 14 ? 'th' : ['th', 'st', 'nd', 'rd'][n % 10] ?? 'th';
    return `${n}${ending}`;
  };

  // What the reveal shows of one passage: its score, whether the other arm found it, and its rank by the other arm's model.
  const foundBy = (card, side, source) => {
    const reveal = card.reveal?.sides[side.side];
    if (!reveal) return {};
    const other = Object.values(card.reveal.sides).find((each) => each !== reveal)?.arm;
    const at = source.rank - 1;
    const rank = reveal.elsewhere?.[at];
    const known = rank !== undefined && rank !== null;
    const telling = known && source.cited && rank !== source.rank;
    return {
      score: reveal.scores[at],
      badge: reveal.alone[at] ? `only found by ${reveal.arm}` : '',
      words: reveal.words?.[at],
      short: telling ? (rank ? `ranked ${ordinal(rank)} by ${other}` : `not in ${other}'s top 50`) : '',
      long: known ? (rank ? `Ranked ${ordinal(rank)} by ${other}.` : `Not in ${other}'s top 50.`) : '',
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
    const name = `Passage ${source.rank} of answer ${side.side}`;
    const marking = (value, Icon, word) => (
      <button
        type="button"
        className="tt-mark"
        data-value={value}
        aria-pressed={source.mark === value}
        aria-label={`${name} is ${word}`}
        title={`${word[0].toUpperCase()}${word.slice(1)}: this passage ${value > 0 ? 'answers' : 'does not answer'} the question`}
        onClick={once(() => mark(side.side, source.rank, value))}
      >
        <Icon size={15} aria-hidden="true" />
      </button>
    );
    return (
      <li className="tt-passage" data-cited={source.cited} data-rank={source.rank} data-mark={source.mark}>
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
                {source.page ? <span className="tt-page">, p. {source.page}</span> : null}
              </span>
              {source.heading ? <span className="tt-heading">{source.heading}</span> : null}
            </span>
            {found.badge ? <span className="tt-alone">{found.badge}</span> : null}
            {found.short ? <span className="tt-alone" title={found.long}>{found.short}</span> : null}
            {found.words ? <span className="tt-alone" title="found by keyword search, not by this model">keyword match</span> : null}
            {found.score ? <span className="tt-score" title="cosine similarity to the question">{found.score}</span> : null}
            <ChevronRight className="tt-chevron" size={16} aria-hidden="true" />
          </button>
          {canOpen ? marking(1, Check, 'relevant') : null}
          {canOpen ? marking(-1, X, 'not relevant') : null}
        </div>
        {isOpen ? (
          <>
            <div className="tt-fulltext">{source.text}</div>
            <p className="tt-more">
              {canOpen ? (
                <button type="button" className="tt-link" onClick={() => open(source.rank)}>
                  <BookOpen size={13} aria-hidden="true" /> Open in document
                </button>
              ) : null}{' '}
              {found.long}
            </p>
          </>
        ) : null}
      </li>
    );
  };

  // --- the panel beside the chat, drawn by Source.jsx -----------------------------------------------------------------

  // The passage is put among the chat's elements, and Chainlit opens its panel for one that is new. Put into the panel
  // alone it would be gone with the next thumb or word of an answer: whenever an element of the chat changes, Chainlit
  // closes a panel that shows none of them.

  const useDocument = (sender) => {
    const setElements = useSetRecoilState(elementState);
    return async (side, rank) => {
      const found = await sender.call('passage', { answer: side.answer, rank });
      if (found.error) {
        sender.fail({ what: 'The document could not be opened', error: found.error });
        return;
      }
      const id = `tt-source-${side.answer}-${rank}`;
      const element = { id, type: 'custom', name: 'Source', display: 'side', forId: id, props: found };
      setElements((all) => [...all.filter((each) => each.name !== element.name), element]);
    };
  };

  // Updates sent while disconnected are lost: after a reconnect ask for the cards again, once for all of them.
  let refreshing = null;
  const Connected = ({ card, callAction }) => {
    const socket = useRecoilValue(sessionState)?.socket;
    useEffect(() => {
      if (!socket) return undefined;
      const refresh = () => {
        clearTimeout(refreshing);
        refreshing = setTimeout(() => callAction({ name: 'refresh', payload: {} })?.catch(() => undefined), 100);
      };
      socket.io.on('reconnect', refresh);
      return () => socket.io.off('reconnect', refresh);
    }, [socket]);
    return <Compare card={card} callAction={callAction} />;
  };

  window[KEY] = Connected;
}

export default createElement(window[KEY], { card: props, callAction });
