// The training panel: number of rated questions, progress of a running training, and the last result. `/train` opens it.
// The server reads everything from disk each time (`props` has the shape in chat/training/panel.py); this file only renders.
// The component is kept on `window` as in Compare.jsx. Change VERSION with every change of this file.
import { createElement, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { useRecoilValue, useSetRecoilState } from 'recoil';
import { elementState, sessionState, sideViewState } from '@chainlit/react-client';
import { Check, CircleDashed, ExternalLink, Loader2, Play, RotateCcw, Square, Trophy, Zap } from 'lucide-react';

const { t } = window.thumbtune;
const VERSION = '12';
const KEY = `thumbtune-training-${VERSION}`;

if (!window[KEY]) {
  const useSender = (callAction) => {
    const [sending, setSending] = useState('');
    const [error, setError] = useState('');
    const send = async (name, payload = {}) => {
      if (sending) return;
      setSending(name);
      setError('');
      let failure = t('page.lost');
      try {
        const result = await callAction({ name, payload });
        failure = result?.response ? result.response.error || '' : failure;
      } catch {
        // as it is
      }
      setSending('');
      setError(failure);
    };
    return { sending, error, send };
  };

  // include parts/place.jsx

  const span = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return t('time.s', { s: whole });
    if (whole < 3600) return t('time.min', { min: Math.floor(whole / 60), s: whole % 60 });
    return t('time.h', { h: Math.floor(whole / 3600), min: Math.floor((whole % 3600) / 60) });
  };

  const Training = ({ now, callAction }) => {
    const { sending, error, send } = useSender(callAction);
    const box = usePlace(t('training.label'));
    const given = { now, send, sending };
    return (
      <section className="tt-training" aria-label={t('training.label')} tabIndex={-1} ref={box}>
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
        <h3>{t('training.rated')}</h3>
        <p className="tt-train-count">
          <strong>{now.rated}</strong> {t('training.count', { n: now.rated })}
          {now.since ? `; ${t(now.fresh ? 'training.since' : 'training.none_since', { n: now.fresh, version: now.since })}` : ''}
        </p>
        {now.target ? (
          <div
            className="tt-meter"
            role="meter"
            aria-label={t(now.enough ? 'training.meter_result' : 'training.meter_start')}
            aria-valuemin={0}
            aria-valuemax={goal}
            aria-valuenow={Math.min(now.rated, goal)}
            aria-valuetext={t('training.meter_value', { n: now.rated, target: now.target })}
          >
            <span style={{ width: `${Math.min(100, (100 * now.rated) / goal)}%` }} />
          </div>
        ) : null}
        <p className="tt-train-note">{now.told}</p>
      </div>
    );
  };

  const Start = ({ now, send, sending }) => {
    if (now.refused) return null;
    const order = (name, text, Icon, title) => (
      <button
        type="button"
        className="tt-button"
        data-kind={name === 'train' ? 'main' : 'plain'}
        disabled={Boolean(sending) || !now.enough}
        title={title}
        onClick={() => send('train_start', { order: name })}
      >
        <Icon size={16} aria-hidden="true" /> {text}
      </button>
    );
    return (
      <div className="tt-train-row" role="group" aria-label={t('training.start')}>
        {order('train', t('training.train'), Play, t('training.train_hint'))}
        {order('fast', t('training.quick'), Zap, t('training.quick_hint'))}
        {order('dry run', t('training.dry'), CircleDashed, t('training.dry_hint'))}
        <p className="tt-train-note">
          {t('training.kinds')}
        </p>
      </div>
    );
  };

  const Running = ({ busy, now, send, sending }) => {
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
          <Loader2 className="tt-spin" size={16} aria-hidden="true" /> {' '}
          {t(busy.command.includes('--dry-run') ? 'training.dry_running' : 'training.running', { time: span(busy.elapsed + ticks) })}
        </h3>
        <p className="tt-train-note">
          <code>{busy.command}</code>
        </p>
        <p role="status" className="tt-train-stage">
          {busy.stages.length > 1 && busy.stage
            ? t('training.stage_of', { stage: busy.stage, n: over + 1, total: busy.stages.length })
            : busy.stage || t('training.starting')}
        </p>
        {busy.bar ? <Bar bar={busy.bar} /> : <div className="tt-progress" data-open="true" aria-hidden="true" />}
        {busy.stages.length > 1 ? (
          <ol className="tt-stages" aria-label={t('training.stages')}>
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
            <button type="button" className="tt-button" disabled={Boolean(sending) || busy.stopping} onClick={() => send('train_cancel')}>
              <Square size={16} aria-hidden="true" /> {t(busy.stopping ? 'training.stopping' : 'training.cancel')}
            </button>
            <p className="tt-train-note">{t('training.continues')}</p>
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
        {bar.left === null ? t('training.bar', bar) : t('training.bar_left', { ...bar, time: span(bar.left) })}
      </p>
    </>
  );

  const Said = ({ lines }) => (lines.length ? <pre className="tt-train-said">{lines.join('\n')}</pre> : null);

  const HOW = {
    done: 'training.ended_done',
    stopped: 'training.ended_stopped',
    refused: 'training.ended_refused',
    failed: 'training.ended_failed',
  };

  // How the last run ended, if it has no result of its own: cancelled, refused, failed, or a dry run.
  const Ended = ({ ended, last }) => {
    if (ended.version && last?.version === ended.version) return null;
    const wrong = ended.state === 'failed' || ended.state === 'refused';
    return (
      <div className="tt-train-block">
        <p className={wrong ? 'tt-error' : undefined} role={wrong ? 'alert' : 'status'}>
          <code>{ended.command}</code> {t(HOW[ended.state] ?? 'training.ended', { at: ended.at })}
          {ended.told ? <span className="tt-train-why">{ended.told}</span> : null}
        </p>
        {ended.state === 'stopped' || ended.state === 'refused' ? null : <Said lines={ended.lines} />}
      </div>
    );
  };

  const Verdict = ({ last, now, send, sending }) => (
    <div className="tt-train-block">
      <h3>
        <Trophy size={16} aria-hidden="true" />{' '}
        {t(last.verdict === 'promote' ? 'training.better' : 'training.not_better', { version: last.version })}
      </h3>
      <p className="tt-train-note">
        {last.kind === 'bootstrap' ? `${t('training.bootstrap')} ` : ''}
        {t('training.active', { at: last.at, model: now.serves })}
        {now.trial ? ` ${t('training.on_trial', { version: now.trial })}` : ''}
      </p>
      <p className="tt-verdict">{last.result}</p>
      {last.reason ? <p className="tt-train-why">{t('training.why', { reason: last.reason })}</p> : null}
      {last.table.length ? <Table rows={last.table} /> : <p className="tt-train-note">{t('training.no_report')}</p>}
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
            {t('training.report')} <ExternalLink size={14} aria-hidden="true" />
          </a>
        </p>
      ) : null}
      <Decide last={last} now={now} send={send} sending={sending} />
    </div>
  );

  const Table = ({ rows: [head, ...rows] }) => (
    <div className="tt-train-table" tabIndex={0} role="region" aria-label={t('training.table')}>
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

  // Keep changes nothing, so it runs nothing: it confirms and hides the buttons.
  const Decide = ({ last, now, send, sending }) => {
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
          <div className="tt-train-row" role="group" aria-label={t('training.decide', { version: last.version })}>
            {serves ? null : button(t('training.promote', { version: last.version }), () => send('train_promote', { version: last.version }), Trophy)}
            {button(t('training.keep', { version: now.serves }), () => setKept(`${last.version} ${now.serves}`), Check)}
            {now.back ? button(t('training.roll_back', { version: now.back }), () => send('train_roll_back'), RotateCcw) : null}
          </div>
        )}
        {decided ? (
          <p className="tt-train-note" role="status">
            {t(serves ? 'training.stays' : 'training.stays_other', { model: now.serves, version: last.version })}
          </p>
        ) : null}
        <ByHand done={now.byHand} />
      </>
    );
  };

  const ByHand = ({ done }) => {
    if (!done) return null;
    if (done.busy) return <p className="tt-train-note" role="status"><code>{done.command}</code> {t('training.in_progress')}</p>;
    return (
      <p className={done.ok ? undefined : 'tt-error'} role={done.ok ? 'status' : 'alert'}>
        <code>{done.command}</code>
        <span className="tt-train-out">{done.told}</span>
      </p>
    );
  };

  // Updates sent before this page opened or while it was disconnected are lost: ask for them, now and after a reconnect.
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
