// Files that were dropped into the chat, while they go in; and the list of all documents that `/documents` shows.
// The server decides what becomes of a file (chat/actions/documents.py holds the same shape as `props`); this file only draws.
// The component is kept on `window` for the reason that stands in Compare.jsx. Change VERSION with every change here.
import { createElement, useEffect, useRef, useState } from 'react';
import { useRecoilValue } from 'recoil';
import { sessionState } from '@chainlit/react-client';
import { Check, CircleAlert, CircleDashed, FileText, Loader2, RotateCw, Search, Trash2 } from 'lucide-react';

const VERSION = '2';
const KEY = `thumbtune-documents-${VERSION}`;
const LOST = 'the chat did not take it. Reload the page, then try again.';
const SEARCH_FROM = 21; // fewer are seen at a glance
const AT_ONCE = 50; // rows drawn; more come by a button

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

  const bare = (name) => name.replace(/^uploads\//, '');

  // --- files that go in ---------------------------------------------------------------------------------------------

  const OPEN = ['waiting', 'reading', 'embedding'];
  const IN = ['added', 'replaced', 'unchanged'];

  const outcome = (file) =>
    ({
      waiting: 'Waiting',
      reading: 'Reading',
      embedding: `${percent(file)}%`,
      added: `Added, ${count(file.passages, 'passage', 'passages')}${lost(file)}`,
      replaced: `Replaced the file of this name, ${count(file.passages, 'passage', 'passages')}${lost(file)}`,
      unchanged: 'Already here, with the same content',
      refused: `Not taken in: ${file.reason}`,
      failed: `Not taken in: ${file.reason}`,
      stopped: file.reason,
    })[file.state];

  const lost = (file) => (file.reason ? `. Not all of it: ${file.reason}` : '');

  const percent = (file) => (file.total ? Math.floor((100 * file.done) / file.total) : 0);

  const summary = ({ files, queued, over }) => {
    if (queued) return 'Waiting for files that somebody else has dropped';
    if (!over) return `Taking in ${count(files.length, 'file', 'files')}`;
    const good = files.filter((file) => IN.includes(file.state)).length;
    if (good === files.length) return 'Ask about it now: both retrievers have it';
    return good ? `${good} of ${files.length} files can be asked about now` : 'Nothing was taken in';
  };

  const Intake = ({ now }) => (
    <section className="tt-docs" aria-label="Dropped files" aria-busy={!now.over}>
      <p className="tt-docs-head" role="status">{summary(now)}</p>
      <ul className="tt-docs-files">
        {now.files.map((file, index) => (
          <File key={index} file={file} />
        ))}
      </ul>
      {now.over ? <p className="tt-docs-note">/documents lists what both retrievers search, and removes what was dropped here.</p> : null}
    </section>
  );

  const File = ({ file }) => {
    const running = OPEN.includes(file.state);
    const Icon = IN.includes(file.state) ? Check : file.state === 'waiting' ? CircleDashed : running ? Loader2 : CircleAlert;
    return (
      <li className="tt-docs-file" data-state={file.state}>
        <Icon className="tt-docs-icon" size={18} aria-hidden="true" />
        <div className="tt-docs-what">
          <span className="tt-docs-title">{bare(file.name)}</span>
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
      aria-label={`Taking in ${bare(file.name)}`}
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
    const [said, setSaid] = useState('');
    const head = useRef(null);
    const look = async () => setFound(await call(callAction, 'documents'));
    useEffect(() => {
      look();
    }, [now.stamp]);
    const remove = async (source) => {
      const { error } = await call(callAction, 'documents_remove', { source });
      setSaid(error ? `Not removed: ${error}` : `${bare(source)} was removed. Its ratings stay.`);
      if (!error) head.current?.focus(); // the button that had the focus is gone with its row
      if (!error) await look();
    };
    if (!found) return <section className="tt-docs" aria-label="Documents" aria-busy="true"><p className="tt-docs-note">Looking…</p></section>;
    if (found.error) {
      return (
        <section className="tt-docs" aria-label="Documents">
          <p className="tt-error" role="alert">
            The documents cannot be shown: {found.error}{' '}
            <button type="button" className="tt-retry" onClick={look}><RotateCw size={14} aria-hidden="true" /> Retry</button>
          </p>
        </section>
      );
    }
    return (
      <section className="tt-docs" aria-label="Documents">
        <p className="tt-docs-head" tabIndex={-1} ref={head}>{totals(found.documents)}</p>
        {said ? <p className="tt-docs-note" role="status">{said}</p> : null}
        <Rows documents={found.documents} search={now.search} remove={remove} />
        <p className="tt-docs-note">Drop files anywhere in the chat to add them. Those of the documents folder are changed there.</p>
      </section>
    );
  };

  const totals = (documents) => {
    const passages = documents.reduce((sum, each) => sum + each.passages, 0);
    const dropped = documents.filter((each) => each.uploaded).length;
    const all = `${count(documents.length, 'document', 'documents')}, ${count(passages, 'passage', 'passages')}`;
    return dropped ? `${all}; ${dropped} dropped into the chat` : all;
  };

  const Rows = ({ documents, search, remove }) => {
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
            <Row key={each.source} document={each} remove={remove} />
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

  const Row = ({ document, remove }) => (
    <li className="tt-docs-row" data-uploaded={document.uploaded}>
      <FileText className="tt-docs-icon" size={18} aria-hidden="true" />
      <div className="tt-docs-what">
        <span className="tt-docs-title">{document.title}</span>
        <span className="tt-docs-source">{document.source}</span>
        <span className="tt-docs-said">
          {count(document.passages, 'passage', 'passages')}
          {document.uploaded ? (document.added ? `, dropped ${when(document.added)}` : ', dropped here') : ', in the documents folder'}
        </span>
      </div>
      {document.uploaded ? <Remove document={document} remove={remove} /> : null}
    </li>
  );

  // The first click asks, the second one does it; going elsewhere, or Escape, takes the question back.
  const Remove = ({ document, remove }) => {
    const [state, setState] = useState('idle');
    const click = async (event) => {
      if (event.detail > 1 || state === 'removing') return; // the second half of a double click is no answer
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
        aria-label={`${words} ${bare(document.source)}`}
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

  // What was sent while the connection was down is lost: ask for it again when it is back.
  const Connected = ({ now, callAction }) => {
    const socket = useRecoilValue(sessionState)?.socket;
    useEffect(() => {
      if (!socket) return undefined;
      const refresh = () => callAction({ name: 'refresh', payload: {} })?.catch(() => undefined);
      socket.io.on('reconnect', refresh);
      return () => socket.io.off('reconnect', refresh);
    }, [socket]);
    return now.mode === 'intake' ? <Intake now={now} /> : <List now={now} callAction={callAction} />;
  };

  window[KEY] = Connected;
}

export default createElement(window[KEY], { now: props, callAction });
