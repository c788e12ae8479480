// The panel beside the chat: a passage where it stands in its document, marked, with what is around it.
// chat/actions/passages.py holds the same shape as `props`.
import { createElement, useEffect, useRef } from 'react';
import { ExternalLink } from 'lucide-react';

const VERSION = '2';
const KEY = `thumbtune-source-${VERSION}`;

if (!window[KEY]) {
  const Source = ({ passage }) => {
    const mark = useRef(null);
    useEffect(() => {
      mark.current?.scrollIntoView({ block: 'center' }); // a Promise in newer browsers, so nothing an effect may return
    }, [passage]);
    const where = [passage.source, passage.heading, passage.page ? `page ${passage.page}` : ''].filter(Boolean).join(' > ');
    return (
      <article className="tt-source" aria-label={`Passage in ${passage.title}`}>
        <p className="tt-source-where">{where}</p>
        {passage.file ? (
          <p>
            <a href={passage.file} target="_blank" rel="noopener noreferrer" className="tt-link">
              <ExternalLink size={13} aria-hidden="true" /> Open the PDF{passage.page ? ` at page ${passage.page}` : ''}
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
