// Filter expressions over a row: `lr < 1e-3 and state == finished`, `model ~ bart or value > 0.4`, bare words search.
// A small parser of our own: nothing that is typed is ever executed.
const rowFilter = (() => {
  const TOKEN = /\s*(?:(\()|(\))|(<=|>=|==|!=|=|<|>|~|&&|\|\||!)|"([^"]*)"|'([^']*)'|([^\s()<>=!~&|"']+))/y;

  const tokens = (text) => {
    const found = [];
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < text.trimEnd().length) {
      const at = TOKEN.lastIndex, match = TOKEN.exec(text);
      if (!match) throw new Error(`cannot read ${text.slice(at).trim()}`);
      const [, open, close, sign, double, single, word] = match;
      if (open) found.push({ kind: "(" });
      else if (close) found.push({ kind: ")" });
      else if (sign) found.push({ kind: sign === "&&" ? "and" : sign === "||" ? "or" : sign === "!" ? "not" : "sign", text: sign });
      else if (double !== undefined || single !== undefined) found.push({ kind: "text", text: double ?? single });
      else if (/^(and|or|not)$/i.test(word)) found.push({ kind: word.toLowerCase() });
      else found.push({ kind: "word", text: word });
    }
    return found;
  };

  const compare = (held, sign, wanted) => {
    if (held === undefined || held === null) return sign === "!=";
    const a = Number(held), b = Number(wanted);
    const numbers = held !== "" && wanted !== "" && !Number.isNaN(a) && !Number.isNaN(b);
    const [x, y] = numbers ? [a, b] : [String(held).toLowerCase(), String(wanted).toLowerCase()];
    switch (sign) {
      case "<": return x < y;
      case "<=": return x <= y;
      case ">": return x > y;
      case ">=": return x >= y;
      case "!=": return x !== y;
      case "~": return String(held).toLowerCase().includes(String(wanted).toLowerCase());
      default: return x === y;
    }
  };

  // Returns row => boolean; `get(row, name)` reads a column, `words(row)` is all its text in lower case.
  const parse = (text, get, words) => {
    const list = tokens(text);
    let at = 0;
    const peek = () => (list[at] || {}).kind;
    const next = () => list[at++];
    const either = () => {
      let left = both();
      while (peek() === "or") { next(); const a = left, b = both(); left = (row) => a(row) || b(row); }
      return left;
    };
    const both = () => {
      let left = one();
      while (at < list.length && peek() !== "or" && peek() !== ")") {
        if (peek() === "and") next();
        const a = left, b = one();
        left = (row) => a(row) && b(row);
      }
      return left;
    };
    const one = () => {
      if (peek() === "not") { next(); const a = one(); return (row) => !a(row); }
      if (peek() === "(") {
        next();
        const inner = either();
        if (peek() !== ")") throw new Error("a ) is missing");
        next();
        return inner;
      }
      const name = next();
      if (!name || name.text === undefined) throw new Error("a name or a word is missing");
      if (peek() === "sign") {
        const sign = next().text, value = next();
        if (!value || value.text === undefined) throw new Error(`a value is missing after ${sign}`);
        return (row) => compare(get(row, name.text), sign, value.text);
      }
      const wanted = name.text.toLowerCase();
      return (row) => words(row).includes(wanted);
    };
    if (!list.length) return () => true;
    const made = either();
    if (at < list.length) throw new Error("there is a ) too many");
    return made;
  };

  return { parse };
})();
