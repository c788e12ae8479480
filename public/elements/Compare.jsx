// The comparison card: two answers to one question, side by side, with their passages and everything to rate them by.
// The server decides what the browser may know (`props` has the shape in chat/elements/card.py); this file only renders it.
//
// Chainlit runs this file again whenever the props change. A new component each time would be mounted again and lose
// scroll position, focus and open passages: so the component is created once per page and kept on `window`, and the
// export is an element of it. Change VERSION with every change of this file or its parts.
//
// Chainlit evaluates one file, without imports of other files: the server puts the parts in card/ where they are named
// (chat/elements/jsx.py).
import { createElement, Fragment, useEffect, useMemo, useRef, useState } from 'react';
import { useRecoilValue, useSetRecoilState } from 'recoil';
import { elementState, sessionState } from '@chainlit/react-client';
import { BookOpen, Check, ChevronRight, Copy, Equal, Pencil, RotateCw, StepForward, ThumbsDown, ThumbsUp, Undo2, X } from 'lucide-react';
import { Markdown } from '@/components/markdown';

const { t, nth, linked } = window.thumbtune;
const VERSION = '20';
const KEY = `thumbtune-compare-${VERSION}`;
const PREVIEW_CHARS = 320;
const REASONS = {
  'wrong source': 'reason.wrong_source',
  incomplete: 'reason.incomplete',
  'not in the documents': 'reason.not_in_documents',
  'made up': 'reason.made_up',
};
const CHOICES = [
  { choice: 'A', key: '1', label: t('card.a_better'), short: 'A' },
  { choice: 'B', key: '2', label: t('card.b_better'), short: 'B' },
  { choice: 'tie', key: '0', label: t('card.tie') },
  { choice: 'both bad', key: 'x', label: t('card.both_bad') },
];
// Answers that say the same: neither can be better, so there is less to choose.
const SAME_CHOICES = [
  { choice: 'tie', key: '0', label: t('card.same_answer') },
  { choice: 'both bad', key: 'x', label: t('card.both_bad') },
];

if (!window[KEY]) {
  const choicesOf = (card) => (card.alike ? SAME_CHOICES : CHOICES);
  const isBusy = (side) => side.state === 'waiting' || side.state === 'streaming';
  const canAskAgain = (card) => Boolean(card.query) && !card.sides.some((side) => isBusy(side) || side.error);
  const place = (source) => [source.source, source.heading].filter(Boolean).join(' > ');
  const once = (act) => (event) => event.detail > 1 || act(event); // ignore the second click of a double click

  // include parts/marks.jsx
  // include card/growing.jsx
  // include card/sending.jsx
  // include card/keyboard.jsx
  // include card/copying.jsx
  // include card/pages.jsx
  // include card/answer.jsx
  // include card/passages.jsx

  const Compare = ({ card, callAction }) => {
    const root = useRef(null);
    const latest = useRef(card);
    latest.current = card;
    const sender = useSender(callAction);
    const act = actsOf(latest, sender);
    const openDocument = useDocument(sender);
    const complete = card.sides.every((side) => side.answer);
    const [copied, copy] = useCopy(latest, sender);
    const pages = usePages(card);
    return (
      <div
        className="tt-card"
        ref={root}
        tabIndex={0}
        role="group"
        aria-label={t('card.label')}
        aria-keyshortcuts={`${card.alike ? '' : '1 2 '}0 x a b Shift+A Shift+B y n o u r c`}
        aria-busy={sender.sending}
        data-unseen={pages.unseen}
        onKeyDown={(event) => press(event, root.current, act, sender, card, copy)}
      >
        <Query card={card} ask={act.ask} />
        <Outcome card={card} ask={act.ask} />
        <div className="tt-tabs" role="group" aria-label={t('tools.pages')}>
          {card.sides.map(({ side }) => (
            <button type="button" key={side} className="tt-tab" aria-pressed={pages.shown === side} onClick={() => pages.go(side)}>
              {t('card.answer', { side })}
            </button>
          ))}
        </div>
        <div className="tt-sides" ref={pages.row} onScroll={pages.look}>
          {card.sides.map((side) => (
            <Answer key={side.side} card={card} side={side} act={act} openDocument={openDocument} copy={copy} copied={copied} />
          ))}
        </div>
        {complete ? <Preference card={card} choose={act.choose} sender={sender} see={() => pages.go('B')} /> : <Saved sender={sender} />}
        <p className="tt-keys">{t(card.alike ? 'card.keys_same' : 'card.keys')}</p>
      </div>
    );
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
            {t('card.searched_for')} <q>{card.query}</q>{' '}
            <button type="button" className="tt-link" onClick={() => setDraft(card.query)}>
              <Pencil size={13} aria-hidden="true" /> {t('card.edit')}
            </button>
          </p>
        ) : null}
        {draft !== null ? (
          <form onSubmit={send}>
            <input
              aria-label={t('card.what_to_search')}
              value={draft}
              autoFocus
              onChange={(event) => setDraft(event.target.value)}
              onKeyDown={(event) => event.key === 'Escape' && setDraft(null)}
            />
            <button type="submit" className="tt-button">{t('card.ask_again')}</button>
          </form>
        ) : null}
        {card.hint ? <p>{card.hint}</p> : null}
      </div>
    );
  };

  const Outcome = ({ card, ask }) => {
    const blind = card.sides.some((side) => side.answer || isBusy(side));
    const lines = card.reveal
      ? [card.reveal.summary, card.alike, card.uneven, ...card.reveal.notes]
      : [card.same, card.alike, card.uneven, blind && t('card.blind')];
    return (
      <div className="tt-above">
        <div className="tt-outcome" role="status" data-revealed={Boolean(card.reveal)}>
          {lines.filter(Boolean).map((line) => (
            <p key={line}>{line}</p>
          ))}
          {card.trouble ? <p className="tt-error" role="alert">{card.trouble}</p> : null}
        </div>
        {canAskAgain(card) ? (
          <button type="button" className="tt-quiet tt-again" title={t('tools.again_hint')} onClick={once(() => ask(card.query))}>
            <RotateCw size={14} aria-hidden="true" /> {t('card.ask_again')}
          </button>
        ) : null}
      </div>
    );
  };

  const Preference = ({ card, choose, sender, see }) => (
    <div className="tt-preference" role="group" aria-label={t('card.which_better')}>
      <button type="button" className="tt-choice tt-see" onClick={see}>
        {t('tools.see_b')} <ChevronRight size={16} aria-hidden="true" />
      </button>
      {choicesOf(card).map(({ choice, key, label, short }) => (
        <button
          key={choice}
          type="button"
          className="tt-choice"
          data-choice={choice}
          aria-pressed={card.preference === choice}
          aria-disabled={sender.sending}
          aria-label={label}
          title={card.preference === choice ? t('card.undo_hint') : t('card.shortcut', { key })}
          onClick={once(() => choose(choice))}
        >
          {choice === 'tie' ? <Equal size={16} aria-hidden="true" /> : null}
          {choice === 'both bad' ? <X size={16} aria-hidden="true" /> : null}
          <span className="tt-long">{label}</span>
          <span className="tt-short">{short ?? label}</span>
        </button>
      ))}
      <Saved sender={sender} />
      {card.counted ? (
        <p className="tt-instead">
          {t('tools.counted', { choice: CHOICES.find(({ choice }) => choice === card.counted).label })}
        </p>
      ) : null}
      {card.alike ? (
        <p className="tt-instead">{t('card.nothing_to_prefer')}</p>
      ) : null}
    </div>
  );

  const Saved = ({ sender }) => (
    <div className="tt-stored" role="status">
      {sender.failed ? (
        <p className="tt-error" role="alert">
          {t(sender.failed.what ?? 'page.not_saved', { error: sender.failed.error })}{' '}
          {sender.failed.again ? (
            <button type="button" className="tt-retry" onClick={sender.failed.again}>
              <RotateCw size={14} aria-hidden="true" /> {t('page.retry')}
            </button>
          ) : null}
        </p>
      ) : null}
      {(sender.canUndo || sender.taught || sender.isSlow) && !sender.failed ? (
        <p>
          {sender.isSlow ? t('card.saving') : sender.canUndo ? t('card.saved') : ''}{' '}
          {sender.taught && !sender.isSlow ? <span className="tt-taught">{sender.taught}</span> : null}{' '}
          {sender.canUndo ? (
            <button type="button" className="tt-link" onClick={sender.undo} aria-disabled={sender.sending}>
              <Undo2 size={13} aria-hidden="true" /> {t('page.undo')}
            </button>
          ) : null}
        </p>
      ) : null}
    </div>
  );

  // Updates sent while disconnected are lost: after a reconnect ask for the cards again, once for all of them.
  let refreshing = null;
  const Connected = ({ card, callAction }) => {
    const socket = useRecoilValue(sessionState)?.socket;
    const setElements = useSetRecoilState(elementState);
    useEffect(() => {
      if (!socket) return undefined;
      const refresh = () => {
        clearTimeout(refreshing);
        refreshing = setTimeout(() => callAction({ name: 'refresh', payload: {} })?.catch(() => undefined), 100);
      };
      hearTexts(socket, setElements, refresh);
      socket.io.on('reconnect', refresh);
      return () => socket.io.off('reconnect', refresh);
    }, [socket]);
    return <Compare card={card} callAction={callAction} />;
  };

  window[KEY] = Connected;
}

export default createElement(window[KEY], { card: props, callAction });
