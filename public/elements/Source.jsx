// The side panel: a passage highlighted in its document, with the text before and after it.
// `props` has the shape in chat/actions/passages.py.
import { createElement, Fragment, useEffect, useMemo, useRef, useState } from 'react';
import { useSetRecoilState } from 'recoil';
import { sideViewState } from '@chainlit/react-client';
import { ChevronLeft, ChevronRight, ExternalLink, FileText } from 'lucide-react';

const { t } = window.thumbtune;
const VERSION = '9';
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

  // include parts/marks.jsx

  // include parts/pdf.jsx

  const Source = ({ passage }) => {
    const [isPage, setIsPage] = useState(false);
    const mark = useRef(null);
    const setPanel = useSetRecoilState(sideViewState);
    useEffect(() => {
      setIsPage(false);
    }, [passage]);
    useEffect(() => {
      if (!isPage) centre(mark.current);
    }, [passage, isPage]);
    useEffect(() => {
      setPanel((now) => now && { ...now, title: passage.title }); // Chainlit names it after this file
    }, [passage]);
    const [before, text, after] = useMemo(() => drawn([passage.before, passage.text, passage.after], passage.form, passage.fence), [passage]);
    const where = [passage.source, passage.heading, passage.page ? t('source.page', { page: passage.page }) : ''].filter(Boolean).join(' > ');
    return (
      <article className="tt-source" aria-label={t('source.label', { title: passage.title })}>
        <p className="tt-source-where">{where}</p>
        {passage.file ? (
          <p className="tt-source-file">
            <button type="button" className="tt-link" onClick={() => setIsPage(!isPage)}>
              <FileText size={13} aria-hidden="true" /> {t(isPage ? 'source.show_text' : 'source.show_page')}
            </button>
            <a href={passage.file} target="_blank" rel="noopener noreferrer" className="tt-link">
              <ExternalLink size={13} aria-hidden="true" />{' '}
              {t('source.open_pdf_at', { page: parseInt(passage.page, 10) })}
            </a>
          </p>
        ) : null}
        {passage.note && !isPage ? <p className="tt-error">{passage.note}</p> : null}
        {isPage ? <PdfPage key={passage.file} passage={passage} /> : null}
        <div className="tt-source-text" hidden={isPage}>
          {passage.more_before ? '… ' : ''}
          {before}
          <mark ref={mark}>{text}</mark>
          {after}
          {passage.more_after ? ' …' : ''}
        </div>
      </article>
    );
  };

  window[KEY] = Source;
}

export default createElement(window[KEY], { passage: props });
