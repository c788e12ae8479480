// Part of Training.jsx, Documents.jsx, Review.jsx and Ratings.jsx: what each does in the side panel, where it is a place.

// Gives the panel its title and the element the focus, and takes the passage away that was there. Returns the ref of
// the element's section.
const usePlace = (title) => {
  const box = useRef(null);
  const setPanel = useSetRecoilState(sideViewState);
  const setElements = useSetRecoilState(elementState);
  useLayoutEffect(() => {
    if (!box.current?.closest('#side-view-content')) return;
    setElements((all) => (all.some((each) => each.name === 'Source') ? all.filter((each) => each.name !== 'Source') : all));
  }, []);
  useLayoutEffect(() => {
    if (box.current?.closest('#side-view-content')) setPanel((now) => (now && now.title !== title ? { ...now, title } : now));
  });
  useEffect(() => {
    if (box.current?.closest('#side-view-content')) box.current.focus({ preventScroll: true });
  }, []);
  return box;
};
