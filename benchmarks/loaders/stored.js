// mutool run stored.js FILE: print the notes and form values of a PDF as they are stored, page by page.
var pdf = new Document(scriptArgs[0]);

function value(field) {
  if (field.V && field.V.isString()) print(field.V.asString());
}

for (var number = 0; number < pdf.countPages(); number++) {
  var annotations = pdf.findPage(number).Annots;
  for (var each = 0; annotations && each < annotations.length; each++) {
    if (annotations[each].Contents) print(annotations[each].Contents.asString());
    value(annotations[each]);
    if (annotations[each].Parent) value(annotations[each].Parent);
  }
}
