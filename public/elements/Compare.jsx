// The comparison card: two answers to one question, side by side, with their passages and thumbs.
// The server decides what may be known (chat/card.py holds the same shape as `props`); this file only draws it.
//
// Chainlit runs this file again whenever the props change. A component made anew each time would be mounted anew, and
// scroll position, focus and opened passages would be lost: so the component is made once per page and kept on `window`,
// and what is exported is an element of it. Change VERSION with every change of this file.
import { createElement, useEffect, useRef, useState } from 'react';
import { useRecoilValue } from 'recoil';
import { sessionState } from '@chainlit/react-client';
import { ThumbsDown, ThumbsUp, ChevronRight, RotateCw } from 'lucide-react';
import { Markdown } from '@/components/markdown';

const VERSION = '2';
const KEY = `thumbtune-compare-${VERSION}`;
const LOST = 'the chat did not take it. Reload the page, then rate.';

if (!window[KEY]) {
  const isBusy = (side) => side.state === 'waiting' || side.state === 'streaming';

  const place = (source) => [source.source, source.heading].filter(Boolean).join(' > ');

  const Compare = ({ card, callAction }) => (
    <div className="tt-card">
      <Outcome card={card} />
      <div className="tt-sides">
        {card.sides.map((side) => (
          <Answer key={side.side} side={side} reveal={card.reveal?.sides[side.side]} callAction={callAction} />
        ))}
      </div>
    </div>
  );

  const Answer = ({ side, reveal, callAction }) => {
    const [opened, setOpened] = useState([]);
    const column = useRef(null);
    const toggle = (rank) => setOpened((now) => (now.includes(rank) ? now.filter((r) => r !== rank) : [...now, rank]));
    const openCited = (event) => {
      const link = event.target.closest?.('a[href^="#passage-"]');
      if (!link) return;
      event.preventDefault();
      const rank = Number(link.getAttribute('href').slice('#passage-'.length));
      setOpened((now) => (now.includes(rank) ? now : [...now, rank]));
      column.current?.querySelector(`[data-rank="${rank}"]`)?.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
    };
    const busy = isBusy(side);
    return (
      <section className="tt-side" aria-label={`Answer ${side.side}`} aria-busy={busy} data-state={side.state} ref={column}>
        <header className="tt-head">
          <span className="tt-letter">{side.side}</span>
          <span className="tt-name">{reveal ? reveal.arm : `Answer ${side.side}`}</span>
          {reveal?.model ? <span className="tt-model">{reveal.model}</span> : null}
        </header>
        <div className="tt-text" onClick={openCited}>
          {side.text ? <Markdown>{side.text}</Markdown> : null}
          {busy && !side.text ? <Waiting found={side.sources.length} /> : null}
          {side.error ? <p className="tt-error" role="alert">{side.error}</p> : null}
        </div>
        {side.answer ? <Thumbs side={side} callAction={callAction} /> : null}
        <Passages side={side} reveal={reveal} opened={opened} toggle={toggle} />
        {reveal?.times ? <p className="tt-times">{reveal.times}</p> : null}
      </section>
    );
  };

  const Waiting = ({ found }) => (
    <p className="tt-waiting">{found ? `Reading ${found} passages…` : 'Looking for passages…'}</p>
  );

  // A vote is shown as given only when the server has stored it and sent the card anew.
  const Thumbs = ({ side, callAction }) => {
    const [sending, setSending] = useState(null);
    const [failed, setFailed] = useState(null);
    const send = async (value) => {
      setSending(value);
      setFailed(null);
      let error = LOST;
      try {
        const result = await callAction({ name: 'vote', payload: { answer: side.answer, value } });
        error = result?.response ? result.response.error : LOST;
      } catch {
        // LOST says it
      }
      setSending(null);
      if (error) setFailed({ value, error });
    };
    const click = (value) => (event) => {
      if (event.detail > 1 || sending !== null) return; // the second half of a double click is not a change of mind
      send(side.vote === value ? 0 : value);
    };
    const thumb = (value, Icon, word) => (
      <button
        type="button"
        className="tt-thumb"
        data-value={value}
        aria-pressed={side.vote === value}
        aria-label={`Answer ${side.side} is ${word.toLowerCase()}`}
        title={side.vote === value ? 'Click again to take it back' : undefined}
        aria-disabled={sending !== null}
        onClick={click(value)}
      >
        <Icon size={18} aria-hidden="true" />
        {word}
      </button>
    );
    return (
      <div className="tt-thumbs" role="group" aria-label={`Rate answer ${side.side}`} aria-busy={sending !== null}>
        {thumb(1, ThumbsUp, 'Good')}
        {thumb(-1, ThumbsDown, 'Bad')}
        {failed ? (
          <p className="tt-error" role="alert">
            Not stored: {failed.error}{' '}
            <button type="button" className="tt-retry" onClick={() => send(failed.value)}>
              <RotateCw size={14} aria-hidden="true" /> Retry
            </button>
          </p>
        ) : null}
      </div>
    );
  };

  const Passages = ({ side, reveal, opened, toggle }) => {
    if (!side.sources.length) return side.state === 'done' ? <p className="tt-none">No passage was found.</p> : null;
    const cited = side.sources.filter((source) => source.cited);
    const consulted = side.sources.filter((source) => !source.cited);
    const list = (title, sources) =>
      sources.length ? (
        <div className="tt-passages">
          <h4>{title}</h4>
          <ul>
            {sources.map((source) => (
              <Passage
                key={source.rank}
                source={source}
                score={reveal?.scores[source.rank - 1]}
                alone={reveal?.alone[source.rank - 1] ? reveal.arm : ''}
                byWords={reveal?.words?.[source.rank - 1]}
                open={opened.includes(source.rank)}
                toggle={() => toggle(source.rank)}
              />
            ))}
          </ul>
        </div>
      ) : null;
    return (
      <>
        {list('Cited', cited)}
        {list(side.state === 'done' ? (cited.length ? 'Read, not cited' : 'Read, none cited') : 'Found', consulted)}
      </>
    );
  };

  const Passage = ({ source, score, alone, byWords, open, toggle }) => (
    <li className="tt-passage" data-cited={source.cited} data-rank={source.rank}>
      <button type="button" aria-expanded={open} disabled={!source.text} onClick={toggle} title={place(source)}>
        <span className="tt-rank">{source.rank}</span>
        <span className="tt-where">
          <span className="tt-title">
            {source.title}
            {source.page ? <span className="tt-page">, p. {source.page}</span> : null}
          </span>
          {source.heading ? <span className="tt-heading">{source.heading}</span> : null}
        </span>
        {alone ? <span className="tt-alone">only {alone}</span> : null}
        {byWords ? <span className="tt-alone" title="found by words, not by this retriever's model">by words</span> : null}
        {score ? <span className="tt-score" title="cosine similarity to the question">{score}</span> : null}
        <ChevronRight className="tt-chevron" size={16} aria-hidden="true" />
      </button>
      {open ? <div className="tt-fulltext">{source.text}</div> : null}
    </li>
  );

  const Outcome = ({ card }) => {
    const blind = card.sides.some((side) => side.answer || isBusy(side));
    const lines = card.reveal
      ? [card.reveal.summary, ...card.reveal.notes]
      : [card.same && `${card.same}.`, blind && 'Which retriever wrote which is shown after your first rating.'];
    return (
      <div className="tt-outcome" role="status" data-unveiled={Boolean(card.reveal)}>
        {lines.filter(Boolean).map((line) => (
          <p key={line}>{line}</p>
        ))}
        {card.trouble ? <p className="tt-error" role="alert">{card.trouble}</p> : null}
      </div>
    );
  };

  // What was sent while the connection was down is lost: ask for the cards again when it is back, once for all of them.
  let refreshing = null;
  const Connected = ({ card, callAction }) => {
    const socket = useRecoilValue(sessionState)?.socket;
    useEffect(() => {
      if (!socket) return undefined;
      const refresh = () => {
        clearTimeout(refreshing);
        refreshing = setTimeout(() => callAction({ name: 'refresh', payload: {} }), 100);
      };
      socket.io.on('reconnect', refresh);
      return () => socket.io.off('reconnect', refresh);
    }, [socket]);
    return <Compare card={card} callAction={callAction} />;
  };

  window[KEY] = Connected;
}

export default createElement(window[KEY], { card: props, callAction });
