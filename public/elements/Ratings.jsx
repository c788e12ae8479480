// A rater's own ratings: what was said of which question, when, what it taught, and Undo. `/ratings` opens it.
// It asks for its rows itself (chat/actions/own_ratings.py) and again when something was rated on a card.
// The component is kept on `window` as in Compare.jsx. Change VERSION with every change of this file.
import { createElement, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { useSetRecoilState } from 'recoil';
import { elementState, sideViewState } from '@chainlit/react-client';
import { Check, Download, RotateCw, ThumbsDown, ThumbsUp, Undo2, Upload, X } from 'lucide-react';

const { t, day } = window.thumbtune;
const VERSION = '3';
const KEY = `thumbtune-ratings-${VERSION}`;
const RATED = 'thumbtune-rated'; // sent by Compare.jsx
const FILE = '/ratings.jsonl';
const MOST_MB = 10; // of a file to import, as in chat/actions/rating_files.py

if (!window[KEY]) {
  const CHOICES = { A: t('card.a_better'), B: t('card.b_better'), tie: t('card.tie'), 'both bad': t('card.both_bad') };

  const said = ({ kind, value, choice, side }) => {
    if (kind === 'preference') return CHOICES[choice] ?? t('ratings.better');
    if (kind === 'taught') return t(value > 0 ? 'ratings.correct' : 'ratings.wrong');
    if (kind === 'source') return t(value > 0 ? 'ratings.relevant' : 'ratings.not_relevant');
    return t(value > 0 ? 'ratings.good' : 'ratings.bad', { side: side ?? '' });
  };
  const ICONS = { answer: { 1: ThumbsUp, '-1': ThumbsDown }, source: { 1: Check, '-1': X }, taught: { 1: Check, '-1': X } };
  const REASONS = {
    'wrong source': 'reason.wrong_source',
    incomplete: 'reason.incomplete',
    'not in the documents': 'reason.not_in_documents',
    'made up': 'reason.made_up',
  };

  // include parts/place.jsx

  const Ratings = ({ callAction }) => {
    const [rows, setRows] = useState(null);
    const [total, setTotal] = useState(0);
    const [back, setBack] = useState({}); // id -> what taking it back taught
    const [error, setError] = useState('');
    const [busy, setBusy] = useState(false);
    const [all, setAll] = useState(false); // whether the ratings of all raters may be exported
    const box = usePlace(t('ratings.label'));
    const turn = useRef(0);

    const call = async (name, payload) => {
      setBusy(true);
      let reply = { error: t('page.lost') };
      try {
        reply = (await callAction({ name, payload }))?.response ?? reply;
      } catch {
        // the error stays
      }
      setBusy(false);
      setError(reply.error ?? '');
      return reply;
    };
    const load = async (start) => {
      const mine = ++turn.current;
      const reply = await call('own_ratings', { start });
      if (reply.error || mine !== turn.current) return;
      if (!start) setBack({});
      setRows((now) => (start ? [...now, ...reply.ratings.filter((row) => !now.some(({ id }) => id === row.id))] : reply.ratings));
      setTotal(reply.total);
      setAll(reply.all);
    };
    const undo = async (id) => {
      if (busy) return;
      const reply = await call('own_ratings_take_back', { rating: id });
      if (reply.error) return;
      setBack((now) => ({ ...now, [id]: reply.taught }));
      setTotal((now) => now - 1);
      box.current?.focus({ preventScroll: true }); // the focused button is gone
    };
    useEffect(() => {
      const again = () => load(0);
      again();
      window.addEventListener(RATED, again);
      return () => window.removeEventListener(RATED, again);
    }, []);

    const kept = rows?.filter(({ id }) => !(id in back)).length ?? 0;
    return (
      <section className="tt-docs tt-ratings" aria-label={t('ratings.label')} aria-busy={busy} tabIndex={-1} ref={box}>
        <p className="tt-ratings-count" role="status">
          {rows === null ? (error ? '' : t('page.loading')) : total ? t('ratings.count', { n: total }) : t('ratings.none')}
        </p>
        {error ? (
          <p className="tt-error" role="alert">
            {error}{' '}
            <button type="button" className="tt-retry" onClick={() => load(0)}>
              <RotateCw size={14} aria-hidden="true" /> {t('ratings.reload')}
            </button>
          </p>
        ) : null}
        <Files mayExport={total > 0} all={all} />
        <ul>
          {rows?.map((row) => (
            <Row key={row.id} row={row} back={back[row.id]} undo={() => undo(row.id)} busy={busy} />
          ))}
        </ul>
        {kept < total && rows ? (
          <button type="button" className="tt-quiet" onClick={() => load(kept)}>
            {t('ratings.more', { n: total - kept })}
          </button>
        ) : null}
      </section>
    );
  };

  // Export and import, as files that `python -m rag import` and `export` read and write, too.
  const Files = ({ mayExport, all }) => {
    const [report, setReport] = useState(null);
    const [error, setError] = useState('');
    const [reading, setReading] = useState(false);
    const input = useRef(null);
    const send = async (event) => {
      const [file] = event.target.files;
      if (!file) return;
      setReport(null);
      setError('');
      if (file.size > MOST_MB * 1e6) setError(t('ratings.too_large', { name: file.name, n: MOST_MB }));
      else {
        setReading(true);
        try {
          const reply = await fetch(FILE, { method: 'POST', body: file, headers: { 'Content-Type': 'application/jsonl' } });
          const answer = await reply.json();
          if (answer.error || answer.detail) setError(t('ratings.failed', { name: file.name, error: answer.error ?? answer.detail }));
          else setReport({ ...answer, name: file.name });
        } catch {
          setError(t('ratings.failed', { name: file.name, error: t('page.lost') }));
        }
        setReading(false);
      }
      event.target.value = ''; // the same file can be chosen again
    };
    return (
      <div className="tt-rating-files">
        {mayExport ? (
          <a className="tt-button" href={FILE} download>
            <Download size={14} aria-hidden="true" /> {t('ratings.export')}
          </a>
        ) : null}
        {all ? (
          <a className="tt-button" href={`${FILE}?of=all`} download>
            <Download size={14} aria-hidden="true" /> {t('ratings.export_all')}
          </a>
        ) : null}
        <button type="button" className="tt-button" disabled={reading} onClick={() => input.current.click()}>
          <Upload size={14} aria-hidden="true" /> {t(reading ? 'ratings.importing' : 'ratings.import')}
        </button>
        <input ref={input} type="file" accept=".jsonl,.json,.txt" hidden aria-label={t('ratings.file')} onChange={send} />
        <div role="status">
          {report ? (
            <>
              <p>
                {t('ratings.imported', { name: report.name, n: report.found })}{' '}
                {['waiting', 'left_out', 'repeated'].map((kind) => (report[kind] ? `${t(`ratings.${kind}`, { n: report[kind] })} ` : ''))}
              </p>
              {report.lines.length ? (
                <details>
                  <summary>{t('ratings.unmatched')}</summary>
                  {report.lines.map((line) => (
                    <p key={line}>{line}</p>
                  ))}
                  {report.waiting + report.left_out > report.lines.length ? <p>…</p> : null}
                </details>
              ) : null}
            </>
          ) : null}
        </div>
        {error ? <p className="tt-error" role="alert">{error}</p> : null}
      </div>
    );
  };

  const Row = ({ row, back, undo, busy }) => {
    const Icon = ICONS[row.kind]?.[row.value];
    const isBack = back !== undefined;
    return (
      <li className="tt-rating" data-back={isBack}>
        <strong>{row.query}</strong>
        <p data-value={row.value}>
          {Icon ? <Icon size={14} aria-hidden="true" /> : null} {said(row)}
          {[row.reason && t(REASONS[row.reason]), row.comment && `“${row.comment}”`].filter(Boolean).map((word) => ` · ${word}`)}
        </p>
        {row.first ? <p className="tt-rating-more">{t('tools.counted', { choice: CHOICES[row.first] })}</p> : null}
        {row.passage ? <q>{row.passage}</q> : null}
        <p className="tt-rating-more">
          <time dateTime={row.at}>{day(row.at)}</time> · {isBack ? back : row.taught}
        </p>
        {isBack ? null : (
          <button type="button" className="tt-link" aria-label={t('ratings.undo', { said: said(row), query: row.query })} aria-disabled={busy} onClick={undo}>
            <Undo2 size={13} aria-hidden="true" /> {t('page.undo')}
          </button>
        )}
      </li>
    );
  };

  window[KEY] = Ratings;
}

export default createElement(window[KEY], { callAction });
