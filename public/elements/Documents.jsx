// Uploads and their progress, and the list of all documents that `/documents` opens.
// `props` has the shape in chat/actions/documents.py; this file only renders it.
// The component is kept on `window` as in Compare.jsx. Change VERSION with every change of this file.
import { createElement, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { useRecoilValue, useSetRecoilState } from 'recoil';
import { elementState, sessionState, sideViewState } from '@chainlit/react-client';
import { Check, CircleAlert, CircleDashed, FileText, Loader2, RotateCw, Search, Trash2 } from 'lucide-react';

const { t, day } = window.thumbtune;
const VERSION = '8';
const KEY = `thumbtune-documents-${VERSION}`;
const SEARCH_FROM = 21; // documents; a shorter list needs no search
const AT_ONCE = 50; // rows per page; a button shows more

if (!window[KEY]) {
  const call = async (callAction, name, payload = {}) => {
    try {
      const result = await callAction({ name, payload });
      return result?.response ?? { error: t('page.lost') };
    } catch {
      return { error: t('page.lost') };
    }
  };

  const passages = (n) => t('page.passages', { n });

  const withoutFolder = (name) => name.replace(/^uploads\//, '');

  // --- uploads ------------------------------------------------------------------------------------------------------

  const OPEN = ['waiting', 'reading', 'embedding'];
  const IN = ['added', 'replaced', 'unchanged'];

  const outcome = (file) =>
    ({
      waiting: t('documents.waiting'),
      reading: t('documents.reading'),
      embedding: t('documents.percent', { n: percent(file) }),
      added: t('documents.added', { passages: passages(file.passages) }) + missing(file),
      replaced: t('documents.replaced', { passages: passages(file.passages) }) + missing(file),
      unchanged: t('documents.unchanged'),
      refused: t('documents.refused', { reason: file.reason }),
      failed: t('documents.refused', { reason: file.reason }),
      stopped: file.reason,
    })[file.state];

  const missing = ({ reason, note }) =>
    (reason ? `. ${t('documents.incomplete', { reason })}` : '') + (note ? `. ${t('documents.note', { note })}` : '');

  const percent = (file) => (file.total ? Math.floor((100 * file.done) / file.total) : 0);

  const summary = ({ files, queued, over }) => {
    if (queued) return t('documents.queued');
    if (!over) return t('documents.adding', { n: files.length });
    const good = files.filter((file) => IN.includes(file.state)).length;
    if (!good) return t('documents.none_added');
    return good === files.length ? t('documents.all_added', { n: good }) : t('documents.some_added', { n: good, total: files.length });
  };

  const Uploads = ({ now }) => (
    <section className="tt-docs" aria-label={t('documents.uploads')} aria-busy={!now.over}>
      <p className="tt-docs-head" role="status">{summary(now)}</p>
      <ul className="tt-docs-files">
        {now.files.map((file, index) => (
          <File key={index} file={file} />
        ))}
      </ul>
      {now.over ? <Link /> : null}
    </section>
  );

  // As a click on Documents in the bar at the top (public/app.js).
  const Link = () => (
    <p className="tt-docs-note">
      {t('documents.see')}{' '}
      <button type="button" className="tt-link" onClick={() => window.postMessage('/documents', window.location.origin)}>
        {t('documents.open')}
      </button>
    </p>
  );

  const File = ({ file }) => {
    const running = OPEN.includes(file.state);
    const Icon = IN.includes(file.state) ? Check : file.state === 'waiting' ? CircleDashed : running ? Loader2 : CircleAlert;
    return (
      <li className="tt-docs-file" data-state={file.state}>
        <Icon className="tt-docs-icon" size={18} aria-hidden="true" />
        <div className="tt-docs-what">
          <span className="tt-docs-title">{withoutFolder(file.name)}</span>
          <span className="tt-docs-said">{outcome(file)}</span>
          {running ? <Bar file={file} /> : null}
        </div>
      </li>
    );
  };

  const Bar = ({ file }) => (
    <div
      className="tt-docs-bar"
      role="progressbar"
      aria-label={t('documents.adding_name', { name: withoutFolder(file.name) })}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent(file)}
    >
      <div style={{ width: `${percent(file)}%` }} />
    </div>
  );

  // include parts/place.jsx

  // --- all documents ------------------------------------------------------------------------------------------------

  const List = ({ now, callAction }) => {
    const [found, setFound] = useState(null); // {documents} or {error}
    const [notice, setNotice] = useState('');
    const head = useRef(null);
    const box = usePlace(t('documents.label'));
    const load = async () => setFound(await call(callAction, 'documents'));
    useEffect(() => {
      load();
    }, [now.stamp]);
    const remove = async (source) => {
      const { error } = await call(callAction, 'documents_remove', { source });
      setNotice(error ? t('documents.not_removed', { error }) : t('documents.removed', { name: withoutFolder(source) }));
      if (!error) head.current?.focus(); // the focused button is gone with its row
      if (!error) await load();
    };
    return (
      <section className="tt-docs" aria-label={t('documents.label')} aria-busy={!found} tabIndex={-1} ref={box}>
        {found && !found.error ? (
          <>
            <p className="tt-docs-head" tabIndex={-1} ref={head}>{totals(found.documents)}</p>
            {notice ? <p className="tt-docs-note" role="status">{notice}</p> : null}
            {found.report ? <Report report={found.report} /> : null}
            <Rows documents={found.documents} search={now.search} remove={found.admin ? remove : null} stamp={now.stamp} callAction={callAction} />
            {found.admin ? <p className="tt-docs-note">{t('documents.drop')}</p> : null}
          </>
        ) : null}
        {found?.error ? (
          <p className="tt-error" role="alert">
            {t('documents.not_loaded', { error: found.error })}{' '}
            <button type="button" className="tt-retry" onClick={load}><RotateCw size={14} aria-hidden="true" /> {t('page.retry')}</button>
          </p>
        ) : null}
        {found ? null : <p className="tt-docs-note">{t('page.loading')}</p>}
      </section>
    );
  };

  // A line per kind of file as `python -m rag index` prints it; the files on request.
  const Report = ({ report }) => (
    <section className="tt-docs-report" aria-label={t('documents.read')}>
      <ul>
        {report.lines.map((line) => <li key={line}>{line}</li>)}
      </ul>
      {report.files.length ? (
        <details>
          <summary>{t('documents.skipped_count', { n: report.files.length })}</summary>
          <ul className="tt-docs-found" tabIndex={0} aria-label={t('documents.skipped')}>
            {report.files.map((line) => <li key={line}>{line}</li>)}
          </ul>
        </details>
      ) : null}
    </section>
  );

  const totals = (documents) => {
    const all = {
      documents: t('page.documents', { n: documents.length }),
      passages: passages(documents.reduce((sum, each) => sum + each.passages, 0)),
    };
    const uploaded = documents.filter((each) => each.uploaded).length;
    return uploaded ? t('documents.totals_uploaded', { ...all, n: uploaded }) : t('documents.totals', all);
  };

  const Rows = ({ documents, search, ...rest }) => {
    const [wanted, setWanted] = useState(search || '');
    const [most, setMost] = useState(AT_ONCE);
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = documents.filter((each) => {
      const text = `${each.title} ${each.source}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    return (
      <>
        {documents.length >= SEARCH_FROM || wanted ? (
          <label className="tt-docs-search">
            <Search size={16} aria-hidden="true" />
            <input
              type="search"
              aria-label={t('documents.search')}
              placeholder={t('documents.search_hint')}
              value={wanted}
              onChange={(event) => setWanted(event.target.value)}
            />
            <span aria-live="polite">{words.length ? t('documents.found', { n: matches.length }) : ''}</span>
          </label>
        ) : null}
        <ul className="tt-docs-list">
          {matches.slice(0, most).map((each) => (
            <Row key={each.source} document={each} {...rest} />
          ))}
        </ul>
        {matches.length > most ? (
          <button type="button" className="tt-docs-more" onClick={() => setMost(most + AT_ONCE)}>
            {t('documents.more', { n: matches.length - most })}
          </button>
        ) : null}
      </>
    );
  };

  const origin = (document) => {
    const size = { passages: passages(document.passages) };
    if (document.attached) return t('documents.attached', size);
    if (!document.uploaded) return t('documents.own', size);
    return document.added ? t('documents.uploaded_at', { ...size, when: day(document.added) }) : t('documents.uploaded', size);
  };

  const Row = ({ document, remove, stamp, callAction }) => {
    const [open, setOpen] = useState(false);
    return (
      <li className="tt-docs-row" data-uploaded={document.uploaded}>
        <FileText className="tt-docs-icon" size={18} aria-hidden="true" />
        <div className="tt-docs-what">
          <span className="tt-docs-title">{document.title}</span>
          <span className="tt-docs-source">{document.source}</span>
          <span className="tt-docs-said">{origin(document)}</span>
          {document.lost ? <span className="tt-docs-lost">{t('documents.in_part', { reason: document.lost })}</span> : null}
          {document.note ? <span className="tt-docs-said">{t('documents.note', { note: document.note })}</span> : null}
        </div>
        <button
          type="button"
          className="tt-docs-show"
          aria-expanded={open}
          aria-label={t(open ? 'documents.hide_name' : 'documents.show_name', { name: withoutFolder(document.source) })}
          onClick={() => setOpen(!open)}
        >
          {t(open ? 'documents.hide' : 'documents.show')}
        </button>
        {remove && document.uploaded && !document.attached ? <Remove document={document} remove={remove} /> : null}
        {open ? <Shown source={document.source} stamp={stamp} callAction={callAction} /> : null}
      </li>
    );
  };

  // What was read of a document and where it is cut, as `python -m rag show` prints it.
  const Shown = ({ source, stamp, callAction }) => {
    const [text, setText] = useState(null); // the server's answer, with the passages so far, or {error}
    const load = async (before = []) => {
      const got = await call(callAction, 'documents_show', { source, start: before.length });
      setText(got.error ? got : { ...got, chunks: [...before, ...got.chunks] });
    };
    useEffect(() => {
      load();
    }, [source, stamp]);
    const name = t('documents.text_of', { name: withoutFolder(source) });
    if (!text) return <section className="tt-docs-shown" aria-label={name} aria-busy="true">{t('page.loading')}</section>;
    if (text.error) return <section className="tt-docs-shown" aria-label={name}><p className="tt-error" role="alert">{t('documents.text_failed', { error: text.error })}</p></section>;
    const left = text.total - text.chunks.length;
    return (
      <section className="tt-docs-shown" aria-label={name}>
        <p>{[text.kind, text.date, t('documents.characters', { n: text.characters }), passages(text.total)].filter(Boolean).join(', ')}</p>
        {text.chunks.map((chunk, index) => (
          <figure key={chunk.start} className="tt-docs-chunk">
            <figcaption>{[t('documents.passage', { n: index + 1 }), chunk.pages ? t('documents.page', { page: chunk.pages }) : '', chunk.heading, t('documents.span', chunk), t('documents.tokens', { n: chunk.tokens })].filter(Boolean).join(' · ')}</figcaption>
            <div className="tt-docs-text" dir="auto">{chunk.text}</div>
          </figure>
        ))}
        {left > 0 ? (
          <button type="button" className="tt-docs-more" onClick={() => load(text.chunks)}>
            {t('documents.more_passages', { n: left })}
          </button>
        ) : null}
      </section>
    );
  };

  // The first click asks, the second one removes; leaving the button or Escape cancels.
  const Remove = ({ document, remove }) => {
    const [state, setState] = useState('idle');
    const click = async (event) => {
      if (event.detail > 1 || state === 'removing') return; // ignore the second click of a double click
      if (state === 'idle') {
        setState('asking');
        return;
      }
      setState('removing');
      await remove(document.source);
      setState('idle');
    };
    const [words, name] = {
      idle: ['documents.remove', 'documents.remove_name'],
      asking: ['documents.really', 'documents.really_name'],
      removing: ['documents.removing', 'documents.removing_name'],
    }[state];
    return (
      <button
        type="button"
        className="tt-docs-remove"
        data-state={state}
        aria-label={t(name, { name: withoutFolder(document.source) })}
        onClick={click}
        onBlur={() => setState((now) => (now === 'asking' ? 'idle' : now))}
        onKeyDown={(event) => {
          if (event.key !== 'Escape' || state !== 'asking') return;
          event.preventDefault(); // the panel stays open
          setState('idle');
        }}
      >
        <Trash2 size={16} aria-hidden="true" /> {t(words)}
      </button>
    );
  };

  // Updates sent while disconnected are lost: ask for them again after a reconnect.
  const Connected = ({ now, callAction }) => {
    const socket = useRecoilValue(sessionState)?.socket;
    useEffect(() => {
      if (!socket) return undefined;
      const refresh = () => callAction({ name: 'refresh', payload: {} })?.catch(() => undefined);
      socket.io.on('reconnect', refresh);
      return () => socket.io.off('reconnect', refresh);
    }, [socket]);
    return now.mode === 'intake' ? <Uploads now={now} /> : <List now={now} callAction={callAction} />;
  };

  window[KEY] = Connected;
}

export default createElement(window[KEY], { now: props, callAction });
