// What there is to learn from, a training while it runs, and its verdict. `/train` shows it.
// The server reads everything anew from disk (chat/training.py holds the same shape as `props`); this file only draws.
// The component is kept on `window` for the reason that stands in Compare.jsx. Change VERSION with every change here.
import { createElement, useEffect, useState } from 'react';
import { useRecoilValue } from 'recoil';
import { sessionState } from '@chainlit/react-client';
import { Check, CircleDashed, ExternalLink, Loader2, Play, RotateCcw, Square, Trophy, Zap } from 'lucide-react';

const VERSION = '7';
const KEY = `thumbtune-training-${VERSION}`;
const LOST = 'The chat did not take it. Reload the page, then try again.';

if (!window[KEY]) {
  const useTeller = (callAction) => {
    const [sending, setSending] = useState('');
    const [error, setError] = useState('');
    const tell = async (name, payload = {}) => {
      if (sending) return;
      setSending(name);
      setError('');
      let said = LOST;
      try {
        const result = await callAction({ name, payload });
        said = result?.response ? result.response.error || '' : LOST;
      } catch {
        // LOST says it
      }
      setSending('');
      setError(said);
    };
    return { sending, error, tell };
  };

  const span = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  };

  const Training = ({ now, callAction }) => {
    const { sending, error, tell } = useTeller(callAction);
    const given = { now, tell, sending };
    return (
      <section className="tt-training" aria-label="Training">
        <Meter now={now} />
        {now.busy ? <Running busy={now.busy} {...given} /> : <Start {...given} />}
        {now.refused ? <p className="tt-train-note">{now.refused}.</p> : null}
        {error ? <p className="tt-error" role="alert">{error}</p> : null}
        {!now.busy && now.ended ? <Ended ended={now.ended} last={now.last} /> : null}
        {now.last ? <Verdict last={now.last} {...given} /> : null}
      </section>
    );
  };

  const Meter = ({ now }) => {
    const goal = now.target ?? Math.max(now.rated, 1);
    return (
      <div className="tt-train-block">
        <h3>Rated questions</h3>
        <p className="tt-train-count">
          <strong>{now.rated}</strong> with a right passage
          {now.since ? `, ${now.fresh ? `${now.fresh} new since ${now.since}` : `none new since ${now.since}`}` : ''}
        </p>
        {now.target ? (
          <div
            className="tt-meter"
            role="meter"
            aria-label={now.enough ? 'Rated questions until a verdict is likely' : 'Rated questions until a training can start'}
            aria-valuemin={0}
            aria-valuemax={goal}
            aria-valuenow={Math.min(now.rated, goal)}
            aria-valuetext={`${now.rated} of about ${now.target}`}
          >
            <span style={{ width: `${Math.min(100, (100 * now.rated) / goal)}%` }} />
          </div>
        ) : null}
        <p className="tt-train-note">{now.told}</p>
      </div>
    );
  };

  const Start = ({ now, tell, sending }) => {
    if (now.refused) return null;
    const order = (name, text, Icon, title) => (
      <button
        type="button"
        className="tt-button"
        data-kind={name === 'train' ? 'main' : 'plain'}
        disabled={Boolean(sending) || !now.enough}
        title={title}
        onClick={() => tell('train_start', { order: name })}
      >
        <Icon size={16} aria-hidden="true" /> {text}
      </button>
    );
    return (
      <div className="tt-train-row" role="group" aria-label="Start a training">
        {order('train', 'Train', Play, 'New weights: minutes, gains most')}
        {order('fast', 'Train fast', Zap, 'An adapter of the queries: seconds, gains less')}
        {order('dry run', 'Dry run', CircleDashed, 'Says what a training would go on, and trains nothing')}
        <p className="tt-train-note">
          {now.enough
            ? 'Train tunes new weights, in minutes. Train fast learns an adapter of the queries, in seconds, and gains less. A dry run says what either would go on.'
            : 'The buttons wait until there are enough.'}
        </p>
      </div>
    );
  };

  const Running = ({ busy, now, tell, sending }) => {
    const [ticks, setTicks] = useState(0);
    useEffect(() => {
      setTicks(0);
    }, [busy]);
    useEffect(() => {
      const timer = setInterval(() => setTicks((seconds) => seconds + 1), 1000);
      return () => clearInterval(timer);
    }, []);
    const over = busy.stages.filter(([, seconds]) => seconds !== null).length;
    return (
      <div className="tt-train-block" aria-busy="true">
        <h3>
          <Loader2 className="tt-spin" size={16} aria-hidden="true" /> {busy.command.includes('--dry-run') ? 'Dry run' : 'Training'} for{' '}
          {span(busy.elapsed + ticks)}
        </h3>
        <p className="tt-train-note">
          <code>{busy.command}</code>
        </p>
        <p role="status" className="tt-train-stage">
          {busy.stage || 'starting: the libraries are loaded first'}
          {busy.stages.length > 1 && busy.stage ? ` (stage ${over + 1} of ${busy.stages.length})` : ''}
        </p>
        {busy.bar ? <Bar bar={busy.bar} /> : <div className="tt-progress" data-open="true" aria-hidden="true" />}
        {busy.stages.length > 1 ? (
          <ol className="tt-stages" aria-label="Stages">
            {busy.stages.map(([stage, seconds]) => (
              <li key={stage} data-over={seconds !== null} aria-current={stage === busy.stage ? 'step' : undefined}>
                {seconds === null ? <CircleDashed size={14} aria-hidden="true" /> : <Check size={14} aria-hidden="true" />}
                <span>{stage}</span>
                {seconds === null ? null : <span className="tt-train-note">{span(seconds)}</span>}
              </li>
            ))}
          </ol>
        ) : null}
        <Said lines={busy.lines} />
        {now.refused ? null : (
          <div className="tt-train-row">
            <button type="button" className="tt-button" disabled={Boolean(sending) || busy.stopping} onClick={() => tell('train_cancel')}>
              <Square size={16} aria-hidden="true" /> {busy.stopping ? 'Stopping…' : 'Cancel'}
            </button>
            <p className="tt-train-note">It goes on when you close this tab. What serves now serves on meanwhile.</p>
          </div>
        )}
      </div>
    );
  };

  const Bar = ({ bar }) => (
    <>
      <div
        className="tt-progress"
        role="progressbar"
        aria-label={bar.what}
        aria-valuemin={0}
        aria-valuemax={bar.total}
        aria-valuenow={bar.done}
      >
        <span style={{ width: `${(100 * bar.done) / bar.total}%` }} />
      </div>
      <p className="tt-train-note">
        {bar.what}: {bar.done} of {bar.total}
        {bar.left === null ? '' : `, about ${span(bar.left)} left`}
      </p>
    </>
  );

  const Said = ({ lines }) => (lines.length ? <pre className="tt-train-said">{lines.join('\n')}</pre> : null);

  const HOW = {
    done: 'is done',
    stopped: 'was cancelled',
    refused: 'could not start',
    failed: 'failed',
  };

  // A training that made a version is told by its verdict; here stands what ended otherwise.
  const Ended = ({ ended, last }) => {
    if (ended.version && last?.version === ended.version) return null;
    const wrong = ended.state === 'failed' || ended.state === 'refused';
    return (
      <div className="tt-train-block">
        <p className={wrong ? 'tt-error' : undefined} role={wrong ? 'alert' : 'status'}>
          <code>{ended.command}</code> {HOW[ended.state] ?? 'ended'} ({ended.at}).
          {ended.told ? <span className="tt-train-why">{ended.told}</span> : null}
        </p>
        {ended.state === 'stopped' || ended.state === 'refused' ? null : <Said lines={ended.lines} />}
      </div>
    );
  };

  const Verdict = ({ last, now, tell, sending }) => (
    <div className="tt-train-block">
      <h3>
        <Trophy size={16} aria-hidden="true" /> Last verdict: {last.verdict === 'promote' ? 'promote' : 'do not promote'} {last.version}
      </h3>
      <p className="tt-train-note">
        {last.kind === 'bootstrap' ? 'The first training, on questions made from the documents. ' : ''}
        {last.at}. {last.version === now.serves ? `${last.version} serves now.` : `Now serving: ${now.serves}.`}
      </p>
      <p className="tt-verdict">
        <code>{last.summary}</code>
      </p>
      {last.reason ? <p className="tt-train-why">{last.reason}.</p> : null}
      {last.table.length ? <Table rows={last.table} /> : <p className="tt-train-note">The folder of this training is gone, and its numbers with it.</p>}
      {last.plots.length ? (
        <div className="tt-plots">
          {last.plots.map((plot) => (
            <img key={plot.src} src={plot.src} alt={plot.alt} loading="lazy" />
          ))}
        </div>
      ) : null}
      {last.report ? (
        <p className="tt-train-note">
          <a href={last.report} target="_blank" rel="noreferrer">
            The whole report <ExternalLink size={14} aria-hidden="true" />
          </a>
        </p>
      ) : null}
      <Decide last={last} now={now} tell={tell} sending={sending} />
    </div>
  );

  const Table = ({ rows: [head, ...rows] }) => (
    <div className="tt-train-table" tabIndex={0} role="region" aria-label="Before and after">
      <table>
        <thead>
          <tr>
            {head.map((name) => (
              <th key={name} scope="col">{name}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([role, ...cells]) => (
            <tr key={role} data-role={role}>
              <th scope="row">{role}</th>
              {cells.map((cell, nth) => (
                <td key={head[nth + 1]}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );

  // Keep is a decision to change nothing, so it runs nothing: it says so and puts the buttons away.
  const Decide = ({ last, now, tell, sending }) => {
    const [kept, setKept] = useState('');
    const serves = last.version === now.serves;
    const busy = Boolean(sending) || Boolean(now.byHand?.busy) || Boolean(now.busy);
    const button = (text, act, Icon, kind = 'plain') => (
      <button type="button" className="tt-button" data-kind={kind} disabled={busy} onClick={act}>
        <Icon size={16} aria-hidden="true" /> {text}
      </button>
    );
    const decided = kept === `${last.version} ${now.serves}`;
    return (
      <>
        {now.refused || decided ? null : (
          <div className="tt-train-row" role="group" aria-label={`Decide about ${last.version}`}>
            {serves ? null : button(`Promote ${last.version}`, () => tell('train_promote', { version: last.version }), Trophy)}
            {button(`Keep ${now.serves}`, () => setKept(`${last.version} ${now.serves}`), Check)}
            {now.back ? button(`Roll back to ${now.back}`, () => tell('train_roll_back'), RotateCcw) : null}
          </div>
        )}
        {decided ? (
          <p className="tt-train-note" role="status">
            {now.serves} keeps serving{serves ? '' : `; ${last.version} stays on disk and can be promoted any time`}.
          </p>
        ) : null}
        <ByHand done={now.byHand} />
      </>
    );
  };

  const ByHand = ({ done }) => {
    if (!done) return null;
    if (done.busy) return <p className="tt-train-note" role="status"><code>{done.command}</code> is running…</p>;
    return (
      <p className={done.ok ? undefined : 'tt-error'} role={done.ok ? 'status' : 'alert'}>
        <code>{done.command}</code>
        <span className="tt-train-out">{done.told}</span>
      </p>
    );
  };

  // What was sent before this page was there, or while its connection was down, is not known here: ask, then and now.
  const Connected = ({ now, callAction }) => {
    const socket = useRecoilValue(sessionState)?.socket;
    useEffect(() => {
      if (!socket) return undefined;
      const look = () => callAction({ name: 'train_look', payload: {} }).catch(() => undefined);
      look();
      socket.io.on('reconnect', look);
      return () => socket.io.off('reconnect', look);
    }, [socket]);
    return <Training now={now} callAction={callAction} />;
  };

  window[KEY] = Connected;
}

export default createElement(window[KEY], { now: props, callAction });
