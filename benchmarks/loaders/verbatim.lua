-- Formulas as they are written, and no pictures: what the loaders give, too.
function Math(math) return pandoc.Str(math.text) end
function Image(image) return image.caption end
