// The review queue: one item at a time, by keyboard. `/review` opens it; `props` has the shape in chat/actions/review.py.
// The component is kept on `window` as in Compare.jsx. Change VERSION with every change of this file.
import { createElement, Fragment, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { useSetRecoilState } from 'recoil';
import { elementState, sideViewState } from '@chainlit/react-client';
import { Check, ChevronLeft, ChevronRight, RotateCw, Search as Glass, ThumbsDown, ThumbsUp, Undo2 } from 'lucide-react';
import { Markdown } from '@/components/markdown';

const { t, linked } = window.thumbtune;
const VERSION = '8';
const KEY = `thumbtune-review-${VERSION}`;
const SEARCH = 'thumbtune-search'; // set by Teach.jsx

if (!window[KEY]) {
  const VERDICTS = { 1: 'review.said_right', '-1': 'review.said_wrong' };

  const useSearch = () => {
    const [search, setSearch] = useState(() => window[SEARCH]);
    useEffect(() => {
      const take = () => setSearch(() => window[SEARCH]);
      take();
      window.addEventListener(SEARCH, take);
      return () => window.removeEventListener(SEARCH, take);
    }, []);
    return search;
  };

  // include parts/place.jsx
  // include parts/marks.jsx

  const Review = ({ now, callAction }) => {
    const [at, setAt] = useState(() => Math.max(0, now.items.findIndex((each) => each.said === null)));
    const [searching, setSearching] = useState(false);
    const [error, setError] = useState('');
    const [lesson, setLesson] = useState(''); // what the latest click taught
    const [sending, setSending] = useState(false);
    const [judged, setJudged] = useState([]); // ids of the items that `u` undoes, latest last
    const box = usePlace(t('review.label'));
    const index = Math.min(at, Math.max(0, now.items.length - 1));
    const item = now.items[index];

    const call = async (name, payload) => {
      if (sending) return false;
      setSending(true);
      let failure = t('page.lost');
      try {
        const result = await callAction({ name, payload: { review: now.key, ...payload } });
        failure = result?.response ? result.response.error || '' : failure;
        setLesson(result?.response?.taught ?? '');
      } catch {
        // as it is
      }
      setSending(false);
      if (!failure) window.dispatchEvent(new Event('thumbtune-rated')); // for Ratings.jsx
      setError(failure && t('page.not_saved', { error: failure }));
      return !failure;
    };
    const focus = () => requestAnimationFrame(() => box.current?.focus());
    const go = (step) => {
      setSearching(false);
      setError('');
      setAt(Math.min(Math.max(0, index + step), now.items.length - 1));
    };
    const judge = async (value) => {
      if (!item || item.kind === 'teach') return;
      const taken = await call('review_judge', { item: item.id, value });
      if (!taken) return;
      setJudged([...judged, item.id]);
      go(1);
    };
    const undo = async () => {
      const id = judged[judged.length - 1] ?? item?.id; // after a reload judged items come first in the queue
      const where = now.items.findIndex((each) => each.id === id);
      if (where < 0 || now.items[where].said === null) return;
      if (!(await call('review_judge', { item: id, value: 0 }))) return;
      setJudged(judged.slice(0, -1));
      setSearching(false);
      setAt(where);
    };
    const reload = async () => {
      if (!(await call('review_more', {}))) return;
      setJudged([]);
      setAt(0);
      focus();
    };
    const KEYS = {
      j: () => go(1),
      ArrowDown: () => go(1),
      ArrowRight: () => go(1),
      k: () => go(-1),
      ArrowUp: () => go(-1),
      ArrowLeft: () => go(-1),
      y: () => judge(1),
      n: () => judge(-1),
      t: () => setSearching(true),
      u: undo,
    };
    const press = (event) => {
      const act = KEYS[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea')) return;
      event.preventDefault();
      event.stopPropagation();
      if (!event.repeat) act(); // ignore the repeats of a key that is held down
    };
    useEffect(() => {
      if (now.fresh) box.current?.focus({ preventScroll: true }); // not after a reload
    }, []);

    const done = now.items.filter((each) => each.said !== null);
    const left = Object.entries(now.left).map(([kind, count]) => [kind, count - done.filter((d) => d.kind === kind).length]);
    const total = left.reduce((sum, [, count]) => sum + count, 0);
    const listed = left.filter(([, count]) => count).map(([kind, count]) => t(`review.${kind}`, { n: count }));
    return (
      <section className="tt-review" aria-label={t('review.label')} aria-busy={sending} tabIndex={-1} ref={box} onKeyDown={press}>
        <p className="tt-review-left" role="status">
          <strong>{t('review.left', { n: total })}</strong>
          {listed.length ? `: ${listed.join(', ')}` : ''}
        </p>
        {item ? (
          <Item
            key={item.id}
            item={item}
            place={{ n: index + 1, total: now.items.length }}
            searching={searching}
            review={now.key}
            callAction={callAction}
            close={() => {
              setSearching(false);
              focus();
            }}
          />
        ) : (
          <p className="tt-review-none">
            {t('review.none')}
          </p>
        )}
        {error ? <p className="tt-error" role="alert">{error}</p> : null}
        <p className="tt-seek-note tt-lesson" role="status">{lesson && !error ? t('review.last', { lesson }) : null}</p>
        {item ? (
          <div className="tt-review-bar" role="group" aria-label={t('review.bar')}>
            <Button icon={ThumbsUp} keys="y" word={t('review.right')} off={item.kind === 'teach'} pressed={item.said === 1 && item.kind !== 'teach'} act={() => judge(1)} />
            <Button icon={ThumbsDown} keys="n" word={t('review.wrong')} off={item.kind === 'teach'} pressed={item.said === -1} act={() => judge(-1)} />
            <Button icon={Glass} keys="t" word={t('review.find')} act={() => setSearching(true)} />
            <Button icon={Undo2} keys="u" word={t('page.undo')} off={!judged.length && !(item?.said && item.kind !== 'teach')} act={undo} />
            <Button icon={ChevronLeft} keys="k" word={t('review.back')} off={index === 0} act={() => go(-1)} />
            <Button icon={ChevronRight} keys="j" word={t('review.next')} off={index === now.items.length - 1} act={() => go(1)} />
          </div>
        ) : null}
        {!item || index === now.items.length - 1 ? (
          <button type="button" className="tt-quiet" onClick={reload}>
            <RotateCw size={14} aria-hidden="true" /> {t(item ? 'review.more' : 'review.again')}
          </button>
        ) : null}
      </section>
    );
  };

  const Button = ({ icon: Icon, keys, word, off, pressed, act }) => (
    <button type="button" className="tt-review-button" aria-disabled={off} aria-pressed={pressed} aria-keyshortcuts={keys} onClick={off ? undefined : act}>
      <Icon size={16} aria-hidden="true" /> {word} <kbd aria-hidden="true">{keys}</kbd>
    </button>
  );

  const Item = ({ item, place, searching, review, callAction, close }) => {
    const Search = useSearch();
    return (
      <article className="tt-review-item" data-kind={item.kind} aria-label={t('review.item', place)}>
        <p className="tt-review-why">
          <span>{t('review.place', place)}</span> {t(`review.why_${item.kind}`)}
        </p>
        <h3>{item.query}</h3>
        {item.answers.map((answer) => (
          <div className="tt-review-answer" key={answer.id}>
            <div className="tt-text">
              <Markdown>{linked(answer.text)}</Markdown>
            </div>
            {answer.cited.map(([rank, passage]) => (
              <Passage key={rank} rank={rank} passage={passage} />
            ))}
          </div>
        ))}
        {item.passage ? <Passage passage={item.passage} open /> : null}
        {item.said !== null ? (
          <p className="tt-review-said">
            <Check size={16} aria-hidden="true" /> {t(item.kind === 'teach' ? 'review.marked' : VERDICTS[item.said])}
          </p>
        ) : null}
        {searching && Search ? (
          <Search
            query={item.query}
            taught={item.taught}
            names={{ find: 'review_find', teach: 'review_teach' }}
            payload={{ review, item: item.id }}
            callAction={callAction}
            close={close}
          />
        ) : null}
      </article>
    );
  };

  const Passage = ({ rank, passage, open = false }) => (
    <details className="tt-review-passage" open={open}>
      <summary>
        {rank ? <span className="tt-rank">{rank}</span> : null} <strong>{passage.title}</strong>
        {passage.heading ? ` > ${passage.heading}` : ''}
        {passage.page ? `, ${t('page.page', { page: passage.page })}` : ''}
      </summary>
      <div className="tt-found-text">{drawn([passage.text], passage.form, passage.fence)}</div>
    </details>
  );

  window[KEY] = Review;
}

export default createElement(window[KEY], { now: props, callAction });
