// Uploads and their progress, and the list of all documents that `/documents` shows.
// `props` has the shape in chat/actions/documents.py; this file only renders it.
// The component is kept on `window` as in Compare.jsx. Change VERSION with every change of this file.
import { createElement, useEffect, useRef, useState } from 'react';
import { useRecoilValue } from 'recoil';
import { sessionState } from '@chainlit/react-client';
import { Check, CircleAlert, CircleDashed, FileText, Loader2, RotateCw, Search, Trash2 } from 'lucide-react';

const VERSION = '5';
const KEY = `thumbtune-documents-${VERSION}`;
const LOST = 'no answer from the server. Reload the page and try again.';
const SEARCH_FROM = 21; // documents; a shorter list needs no search
const AT_ONCE = 50; // rows per page; a button shows more

if (!window[KEY]) {
  const call = async (callAction, name, payload = {}) => {
    try {
      const result = await callAction({ name, payload });
      return result?.response ?? { error: LOST };
    } catch {
      return { error: LOST };
    }
  };

  const count = (n, one, more) => `${n.toLocaleString('en-US')} ${n === 1 ? one : more}`;

  const withoutFolder = (name) => name.replace(/^uploads\//, '');

  // --- uploads ------------------------------------------------------------------------------------------------------

  const OPEN = ['waiting', 'reading', 'embedding'];
  const IN = ['added', 'replaced', 'unchanged'];

  const outcome = (file) =>
    ({
      waiting: 'Waiting',
      reading: 'Reading',
      embedding: `${percent(file)}%`,
      added: `Added, ${count(file.passages, 'passage', 'passages')}${missing(file)}`,
      replaced: `Replaced the file of the same name, ${count(file.passages, 'passage', 'passages')}${missing(file)}`,
      unchanged: 'Already added, with the same content',
      refused: `Could not be added: ${file.reason}`,
      failed: `Could not be added: ${file.reason}`,
      stopped: file.reason,
    })[file.state];

  const missing = (file) => (file.reason ? `. Incomplete: ${file.reason}` : '') + (file.note ? `. Note: ${file.note}` : '');

  const percent = (file) => (file.total ? Math.floor((100 * file.done) / file.total) : 0);

  const summary = ({ files, queued, over }) => {
    if (queued) return 'Waiting for another upload to finish';
    if (!over) return `Adding ${count(files.length, 'file', 'files')}`;
    const good = files.filter((file) => IN.includes(file.state)).length;
    const added = good === files.length ? count(good, 'file', 'files') : `${good} of ${files.length} files`;
    return good ? `${added} added. You can ask about ${good === 1 ? 'it' : 'them'} now.` : 'No file was added';
  };

  const Uploads = ({ now }) => (
    <section className="tt-docs" aria-label="Uploaded files" aria-busy={!now.over}>
      <p className="tt-docs-head" role="status">{summary(now)}</p>
      <ul className="tt-docs-files">
        {now.files.map((file, index) => (
          <File key={index} file={file} />
        ))}
      </ul>
      {now.over ? <p className="tt-docs-note">See Documents (top bar) to view or remove files.</p> : null}
    </section>
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
      aria-label={`Adding ${withoutFolder(file.name)}`}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent(file)}
    >
      <div style={{ width: `${percent(file)}%` }} />
    </div>
  );

  // --- all documents ------------------------------------------------------------------------------------------------

  const List = ({ now, callAction }) => {
    const [found, setFound] = useState(null); // {documents} or {error}
    const [notice, setNotice] = useState('');
    const head = useRef(null);
    const load = async () => setFound(await call(callAction, 'documents'));
    useEffect(() => {
      load();
    }, [now.stamp]);
    const remove = async (source) => {
      const { error } = await call(callAction, 'documents_remove', { source });
      setNotice(error ? `Not removed: ${error}` : `${withoutFolder(source)} was removed. Its ratings are kept.`);
      if (!error) head.current?.focus(); // the focused button is gone with its row
      if (!error) await load();
    };
    if (!found) return <section className="tt-docs" aria-label="Documents" aria-busy="true"><p className="tt-docs-note">Loading…</p></section>;
    if (found.error) {
      return (
        <section className="tt-docs" aria-label="Documents">
          <p className="tt-error" role="alert">
            The documents could not be loaded: {found.error}{' '}
            <button type="button" className="tt-retry" onClick={load}><RotateCw size={14} aria-hidden="true" /> Retry</button>
          </p>
        </section>
      );
    }
    return (
      <section className="tt-docs" aria-label="Documents">
        <p className="tt-docs-head" tabIndex={-1} ref={head}>{totals(found.documents)}</p>
        {notice ? <p className="tt-docs-note" role="status">{notice}</p> : null}
        {found.report ? <Report report={found.report} /> : null}
        <Rows documents={found.documents} search={now.search} remove={remove} stamp={now.stamp} callAction={callAction} />
        <p className="tt-docs-note">Drop files anywhere in the chat to add them. Files from your documents folder must be edited or deleted in that folder.</p>
      </section>
    );
  };

  // A line per kind of file as `python -m rag index` prints it; the files on request.
  const Report = ({ report }) => (
    <section className="tt-docs-report" aria-label="Files read">
      <ul>
        {report.lines.map((line) => <li key={line}>{line}</li>)}
      </ul>
      {report.files.length ? (
        <details>
          <summary>Files skipped, read in part, guessed or left out ({report.files.length.toLocaleString('en-US')})</summary>
          <ul className="tt-docs-found" tabIndex={0} aria-label="Files skipped, read in part, guessed or left out">
            {report.files.map((line) => <li key={line}>{line}</li>)}
          </ul>
        </details>
      ) : null}
    </section>
  );

  const totals = (documents) => {
    const passages = documents.reduce((sum, each) => sum + each.passages, 0);
    const uploaded = documents.filter((each) => each.uploaded).length;
    const all = `${count(documents.length, 'document', 'documents')}, ${count(passages, 'passage', 'passages')}`;
    return uploaded ? `${all}; ${uploaded} uploaded` : all;
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
              aria-label="Search the documents by title and name"
              placeholder="Search by title and name"
              value={wanted}
              onChange={(event) => setWanted(event.target.value)}
            />
            <span aria-live="polite">{words.length ? `${matches.length} found` : ''}</span>
          </label>
        ) : null}
        <ul className="tt-docs-list">
          {matches.slice(0, most).map((each) => (
            <Row key={each.source} document={each} {...rest} />
          ))}
        </ul>
        {matches.length > most ? (
          <button type="button" className="tt-docs-more" onClick={() => setMost(most + AT_ONCE)}>
            Show more ({(matches.length - most).toLocaleString('en-US')} left)
          </button>
        ) : null}
      </>
    );
  };

  const when = (added) => new Date(added).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });

  const Row = ({ document, remove, stamp, callAction }) => {
    const [open, setOpen] = useState(false);
    return (
      <li className="tt-docs-row" data-uploaded={document.uploaded}>
        <FileText className="tt-docs-icon" size={18} aria-hidden="true" />
        <div className="tt-docs-what">
          <span className="tt-docs-title">{document.title}</span>
          <span className="tt-docs-source">{document.source}</span>
          <span className="tt-docs-said">
            {count(document.passages, 'passage', 'passages')}
            {document.attached ? ', attached to an uploaded message' : document.uploaded ? (document.added ? `, uploaded ${when(document.added)}` : ', uploaded') : ', from your documents folder'}
          </span>
          {document.lost ? <span className="tt-docs-lost">Read in part: {document.lost}</span> : null}
          {document.note ? <span className="tt-docs-said">Note: {document.note}</span> : null}
        </div>
        <button
          type="button"
          className="tt-docs-show"
          aria-expanded={open}
          aria-label={`${open ? 'Hide' : 'Show'} the text of ${withoutFolder(document.source)}`}
          onClick={() => setOpen(!open)}
        >
          {open ? 'Hide' : 'Show'}
        </button>
        {document.uploaded && !document.attached ? <Remove document={document} remove={remove} /> : null}
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
    const name = `Text of ${withoutFolder(source)}`;
    if (!text) return <section className="tt-docs-shown" aria-label={name} aria-busy="true">Loading…</section>;
    if (text.error) return <section className="tt-docs-shown" aria-label={name}><p className="tt-error" role="alert">The text could not be loaded: {text.error}</p></section>;
    const left = text.total - text.chunks.length;
    return (
      <section className="tt-docs-shown" aria-label={name}>
        <p>{[text.kind, text.date, count(text.characters, 'character', 'characters'), count(text.total, 'passage', 'passages')].filter(Boolean).join(', ')}</p>
        {text.chunks.map((chunk, index) => (
          <figure key={chunk.start} className="tt-docs-chunk">
            <figcaption>{[`Passage ${index + 1}`, chunk.pages ? `page ${chunk.pages}` : '', chunk.heading, `characters ${chunk.start} to ${chunk.end}`, count(chunk.tokens, 'token', 'tokens')].filter(Boolean).join(' · ')}</figcaption>
            <div className="tt-docs-text" dir="auto">{chunk.text}</div>
          </figure>
        ))}
        {left > 0 ? (
          <button type="button" className="tt-docs-more" onClick={() => load(text.chunks)}>
            Show more passages ({left.toLocaleString('en-US')} left)
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
    const words = { idle: 'Remove', asking: 'Really remove?', removing: 'Removing…' }[state];
    return (
      <button
        type="button"
        className="tt-docs-remove"
        data-state={state}
        aria-label={`${words} ${withoutFolder(document.source)}`}
        onClick={click}
        onBlur={() => setState((now) => (now === 'asking' ? 'idle' : now))}
        onKeyDown={(event) => {
          if (event.key === 'Escape') setState((now) => (now === 'asking' ? 'idle' : now));
        }}
      >
        <Trash2 size={16} aria-hidden="true" /> {words}
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
