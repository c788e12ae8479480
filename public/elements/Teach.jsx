// Below a card: the search for the passage that answers the question, and suggested questions.
// `props` has the shape in chat/actions/teach.py; this file only renders it. The text typed here is only searched for: the
// saved query is the card's own. The search is kept on `window` for Review.jsx, too, as no element can import another.
// The component is kept there as in Compare.jsx. Change VERSION with every change of this file.
import { createElement, Fragment, useEffect, useId, useRef, useState } from 'react';
import { Check, GraduationCap, Lightbulb, Plus, Search as Glass, Undo2, X } from 'lucide-react';

const { t } = window.thumbtune;
const VERSION = '7';
const KEY = `thumbtune-teach-${VERSION}`;
const SEARCH = 'thumbtune-search';
const PAUSE_MS = 300; // without typing before the search starts

if (!window[KEY]) {
  // Returns the server's answer to an action; with `error`, a sentence, if it failed.
  const ask = async (callAction, name, payload) => {
    try {
      const result = await callAction({ name, payload });
      return result?.response || { error: t('page.lost') };
    } catch {
      return { error: t('page.lost') };
    }
  };

  const named = (passage) => [passage.title, passage.heading].filter(Boolean).join(' > ');

  const Where = ({ passage }) => (
    <span className="tt-seek-where">
      <strong>{passage.title}</strong>
      {passage.heading ? <span> {'>'} {passage.heading}</span> : null}
      {passage.page ? <span>, {t('page.page', { page: passage.page })}</span> : null}
    </span>
  );

  const Taught = ({ taught, sending, mark }) =>
    taught.length ? (
      <ul className="tt-taught" aria-label={t('teach.taught')}>
        {taught.map((passage) => (
          <li key={passage.chunk}>
            <Check size={16} aria-hidden="true" />
            <span className="tt-taught-what">
              {t('teach.marked')} <Where passage={passage} />
            </span>
            <button
              type="button"
              className="tt-quiet"
              aria-label={t('teach.undo', { name: named(passage) })}
              aria-disabled={Boolean(sending)}
              onClick={() => mark(passage.chunk, 0)}
            >
              <Undo2 size={14} aria-hidden="true" /> {t('page.undo')}
            </button>
          </li>
        ))}
      </ul>
    ) : null;

  // A search field and its results, with a button on each passage. `names`: the actions to call; `payload`: the card.
  // include parts/marks.jsx

  const Search = ({ query, taught, names, payload, callAction, close }) => {
    const [typed, setTyped] = useState(query);
    const [found, setFound] = useState(null);
    const [error, setError] = useState('');
    const [lesson, setLesson] = useState(''); // what the latest click taught
    const [sending, setSending] = useState('');
    const [searching, setSearching] = useState(false);
    const asked = useRef(0);
    const timer = useRef(null);
    const field = useRef(null);
    const box = useRef(null);
    const id = useId();

    const search = async (words) => {
      clearTimeout(timer.current);
      const turn = ++asked.current;
      if (!words.trim()) return setFound(null);
      setSearching(true);
      const answer = await ask(callAction, names.find, { ...payload, query: words });
      if (turn !== asked.current) return; // outdated: more was typed since
      setSearching(false);
      setError(answer.error ? t('teach.failed', { error: answer.error }) : '');
      setFound(answer.passages || null);
    };
    const mark = async (chunk, value) => {
      if (sending) return;
      setSending(chunk);
      const answer = await ask(callAction, names.teach, { ...payload, chunk, value });
      setSending('');
      setError(answer.error ? t('page.not_saved', { error: answer.error }) : '');
      setLesson(answer.error ? '' : answer.taught);
      if (!answer.error) window.dispatchEvent(new Event('thumbtune-rated')); // for Ratings.jsx
      if (!value && !box.current?.contains(document.activeElement)) field.current?.focus(); // the focused button is gone
    };
    const hasFound = Boolean(found?.length);
    useEffect(() => {
      if (hasFound) box.current?.scrollIntoView({ block: 'start', behavior: 'smooth' });
    }, [hasFound]);
    useEffect(() => {
      field.current?.focus();
      field.current?.select();
      search(query);
      return () => clearTimeout(timer.current);
    }, []);

    const type = (event) => {
      const words = event.target.value;
      setTyped(words);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => search(words), PAUSE_MS);
    };
    const step = (event) => {
      event.stopPropagation(); // the card and the queue have shortcuts of their own
      if (event.key === 'Escape') {
        event.preventDefault();
        close();
      }
      if (event.key === 'Enter' && event.target === field.current) {
        event.preventDefault();
        search(typed);
      }
      if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
      const stops = [field.current, ...box.current.querySelectorAll('.tt-found button')];
      const at = stops.indexOf(document.activeElement);
      const next = stops[at + (event.key === 'ArrowDown' ? 1 : -1)];
      if (at < 0 || !next) return;
      event.preventDefault();
      next.focus();
      next.closest('.tt-found > li')?.scrollIntoView({ block: 'nearest' });
    };
    const isTaught = (passage) => taught.some((each) => each.chunk === passage.chunk);
    const count = found?.length;
    return (
      <div className="tt-seek" role="search" aria-label={t('teach.passages')} onKeyDown={step} ref={box}>
        <div className="tt-seek-bar">
          <Glass size={16} aria-hidden="true" />
          <label htmlFor={id} className="tt-hidden">
            {t('teach.field')}
          </label>
          <input id={id} ref={field} type="search" value={typed} onChange={type} autoComplete="off" placeholder={t('teach.hint')} />
          <button type="button" className="tt-quiet" onClick={close} aria-label={t('teach.close')} title={t('teach.escape')}>
            <X size={16} aria-hidden="true" />
          </button>
        </div>
        <Taught taught={taught} sending={sending} mark={mark} />
        <p className="tt-seek-note tt-lesson" role="status">{lesson}</p>
        <p className="tt-seek-note" role="status">
          {searching && !found ? t('page.searching') : null}
          {count ? `${t('teach.count', { n: count })} ` : null}
          {count ? <span className="tt-keys">{t('teach.keys')}</span> : null}
          {found && !count ? t('teach.none') : null}
        </p>
        {error ? (
          <p className="tt-error" role="alert">
            {error}
          </p>
        ) : null}
        {count ? (
          <ul className="tt-found" aria-busy={searching}>
            {found.map((passage) => (
              <li key={passage.chunk} data-shown={passage.shown}>
                <div className="tt-found-head">
                  <Where passage={passage} />
                  {passage.shown ? <span className="tt-alone">{t('teach.shown')}</span> : null}
                </div>
                <div className="tt-found-text">{drawn([passage.text], passage.form, passage.fence)}</div>
                {isTaught(passage) ? (
                  <button
                    type="button"
                    className="tt-answers"
                    aria-pressed="true"
                    aria-label={t('teach.marked_name', { name: named(passage) })}
                    onClick={() => mark(passage.chunk, 0)}
                  >
                    <Check size={16} aria-hidden="true" /> {t('teach.is_marked')}
                  </button>
                ) : (
                  <button
                    type="button"
                    className="tt-answers"
                    aria-label={t('teach.answers_name', { name: named(passage) })}
                    aria-disabled={Boolean(sending)}
                    onClick={() => mark(passage.chunk, 1)}
                  >
                    {t('teach.answers')}
                  </button>
                )}
              </li>
            ))}
          </ul>
        ) : null}
      </div>
    );
  };

  const Teach = ({ now, callAction, sendUserMessage }) => {
    const [open, setOpen] = useState(false);
    const [error, setError] = useState('');
    const [lesson, setLesson] = useState('');
    const opener = useRef(null);
    if (!now.answers) return null; // this element only provides the search for Review.jsx
    const close = () => {
      setOpen(false);
      setLesson('');
      requestAnimationFrame(() => opener.current?.focus());
    };
    const undo = async (chunk) => {
      const answer = await ask(callAction, 'teach', { answer: now.answers[0], chunk, value: 0 });
      setError(answer.error ? t('page.not_saved', { error: answer.error }) : '');
      setLesson(answer.error ? '' : answer.taught);
      if (!answer.error) window.dispatchEvent(new Event('thumbtune-rated'));
      if (!answer.error) opener.current?.focus(); // the focused button is gone
    };
    const Icon = now.good || now.taught.length ? Plus : GraduationCap;
    const words = now.taught.length
      ? t('teach.add_another')
      : now.good
        ? t('teach.add')
        : t('teach.neither');
    return (
      <section className="tt-teach" aria-label={t('teach.label')}>
        {open ? (
          <Search
            query={now.query}
            taught={now.taught}
            names={{ find: 'find', teach: 'teach' }}
            payload={{ answer: now.answers[0] }}
            callAction={callAction}
            close={close}
          />
        ) : (
          <>
            <Taught taught={now.taught} mark={undo} />
            <p className="tt-seek-note tt-lesson" role="status">{lesson}</p>
            {error ? <p className="tt-error" role="alert">{error}</p> : null}
            <button type="button" className="tt-quiet" aria-expanded="false" ref={opener} onClick={() => setOpen(true)}>
              <Icon size={16} aria-hidden="true" /> {words}
            </button>
          </>
        )}
        {now.questions.length ? (
          <div className="tt-next" role="group" aria-label={t('teach.try')}>
            <p>
              <Lightbulb size={16} aria-hidden="true" /> {t('teach.try')}
            </p>
            {now.questions.map((question) => (
              <button type="button" className="tt-next-chip" key={question} onClick={() => sendUserMessage(question)}>
                {question}
              </button>
            ))}
          </div>
        ) : null}
      </section>
    );
  };

  window[KEY] = Teach;
  window[SEARCH] = Search;
  window.dispatchEvent(new Event(SEARCH)); // Review.jsx may be waiting for it
}

export default createElement(window[KEY], { now: props, callAction, sendUserMessage });
