// The side panel: a passage highlighted in its document, with the text before and after it.
// `props` has the shape in chat/actions/passages.py.
import { createElement, useEffect, useRef } from 'react';
import { useSetRecoilState } from 'recoil';
import { sideViewState } from '@chainlit/react-client';
import { ExternalLink } from 'lucide-react';

const VERSION = '4';
const KEY = `thumbtune-source-${VERSION}`;

if (!window[KEY]) {
  // Scrolls the panel and nothing else. scrollIntoView would scroll the page sideways, too, as the panel slides in from
  // the right, and the first answer would be out of reach.
  const centre = (node) => {
    let box = node?.parentElement;
    while (box && !(box.scrollHeight > box.clientHeight && /auto|scroll/.test(getComputedStyle(box).overflowY))) box = box.parentElement;
    if (!box) return;
    const above = node.getBoundingClientRect().top - box.getBoundingClientRect().top;
    box.scrollTop += above - Math.max(0, (box.clientHeight - node.offsetHeight) / 2);
  };

  const isTyping = (node) => Boolean(node?.closest?.('input, textarea, [contenteditable=true]'));

  const Source = ({ passage }) => {
    const mark = useRef(null);
    const setPanel = useSetRecoilState(sideViewState);
    useEffect(() => {
      centre(mark.current);
      setPanel((now) => now && { ...now, title: passage.title }); // Chainlit names it after this file
    }, [passage]);
    useEffect(() => {
      const close = (event) => {
        if (event.key === 'Escape' && !event.defaultPrevented && !isTyping(event.target)) setPanel(undefined);
      };
      document.addEventListener('keydown', close);
      return () => document.removeEventListener('keydown', close);
    }, []);
    const where = [passage.source, passage.heading, passage.page ? `page ${passage.page}` : ''].filter(Boolean).join(' > ');
    return (
      <article className="tt-source" aria-label={`Passage in ${passage.title}`}>
        <p className="tt-source-where">{where}</p>
        {passage.file ? (
          <p>
            <a href={passage.file} target="_blank" rel="noopener noreferrer" className="tt-link">
              <ExternalLink size={13} aria-hidden="true" /> Open the PDF{passage.page ? ` at page ${parseInt(passage.page, 10)}` : ''}
            </a>
          </p>
        ) : null}
        {passage.note ? <p className="tt-error">{passage.note}</p> : null}
        <div className="tt-source-text">
          {passage.more_before ? '… ' : ''}
          {passage.before}
          <mark ref={mark}>{passage.text}</mark>
          {passage.after}
          {passage.more_after ? ' …' : ''}
        </div>
      </article>
    );
  };

  window[KEY] = Source;
}

export default createElement(window[KEY], { passage: props });
