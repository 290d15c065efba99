package program

import "strings"

// clause reads the part of a statement after TO, or SHOW TRAIN. The first
// fault stays, and from then on there is nothing left to read.
type clause struct {
	scan  *scanner
	what  string // TO TRAIN, ...
	t     token
	kw    string // of t, if it is a reserved word
	fault *fault
	st    Statement
}

// clause reads what follows TO TRAIN and its like. The Offset of the
// statement it gives is that of the statement's end.
func (p *parser) clause(what string) (Statement, *fault) {
	_, verb, _ := strings.Cut(what, " ")
	c := &clause{scan: &p.scan, what: what}
	c.st.Kind = extendedVerbs[verb]
	end := func() {
		switch {
		case c.fault != nil:
		case c.is(";"):
			c.st.Offset = c.t.end
		case c.t.kind == endToken:
		default:
			c.expected("a semicolon")
		}
	}
	switch {
	case what == "SHOW TRAIN":
		c.st.Kind = ShowTrain
		c.next()
		c.st.ModelIn = c.name("the name of a model")
	case c.st.Kind == Train:
		c.train()
	case c.st.Kind == Run:
		c.run()
	default:
		c.next()
		switch c.st.Kind {
		case Predict:
			c.predict()
		case Explain:
			c.explain()
		case Evaluate:
			c.evaluate()
		case Optimize:
			c.optimize()
		}
	}
	end()
	return c.st, c.fault
}

// next goes to the next token. The end of a last statement is that of the
// last token, which is behind c.t now.
func (c *clause) next() {
	if c.fault == nil {
		c.st.Offset = c.scan.at
		t, f := c.scan.extended()
		c.set(t, f)
	}
}

func (c *clause) set(t token, f *fault) {
	c.t, c.kw, c.fault = t, "", f
	if f != nil {
		c.t = token{kind: endToken, start: f.at, end: f.at}
		return
	}
	if t.kind == wordToken {
		if kw := keyword(c.scan.word(t)); reserved[kw] {
			c.kw = kw
		}
	}
}

func (c *clause) fail(f *fault) {
	if c.fault == nil {
		c.fault = f
		c.t, c.kw = token{kind: endToken, start: c.t.start, end: c.t.start}, ""
	}
}

// expected fails at the token at hand.
func (c *clause) expected(what string) {
	if c.fault != nil {
		return
	}
	found := shown(c.scan.word(c.t))
	switch {
	case c.t.kind == endToken:
		found = "the end of the program"
	case c.is(";"):
		found = "the end of the statement"
	}
	f := faultAt(c.t.start, "%s: %s is expected, not %s", c.what, what, found)
	if kw := keyword(c.scan.word(c.t)); statementVerbs[kw] && kw != "FROM" || kw == "SHOW" || kw == "CREATE" || kw == "DROP" {
		f.because("is a semicolon missing before it?")
	} else if order := clauseOrder[c.what]; order != "" {
		f.because("the form is " + order)
	}
	c.fail(f)
}

var clauseOrder = map[string]string{
	"TO TRAIN":    "TO TRAIN model [WITH attributes [COLUMN columns]] [LABEL column] [USING model] INTO model, with WITH or LABEL or both",
	"TO PREDICT":  "TO PREDICT table.column [WITH attributes] USING model",
	"TO EXPLAIN":  "TO EXPLAIN model [WITH attributes] [USING explainer] [INTO table]",
	"TO EVALUATE": "TO EVALUATE model [WITH attributes] LABEL column INTO table",
	"TO RUN":      `TO RUN image [CMD "program", "argument" ... [INTO table, ...]]`,
	"TO MAXIMIZE": "TO MAXIMIZE expression [CONSTRAINT constraints] WITH attributes [USING solver] INTO table",
	"TO MINIMIZE": "TO MINIMIZE expression [CONSTRAINT constraints] WITH attributes [USING solver] INTO table",
	"SHOW TRAIN":  "SHOW TRAIN model",
}

// is tells whether the token at hand is this mark.
func (c *clause) is(mark string) bool {
	return c.t.kind == markToken && c.scan.word(c.t) == mark
}

// accept goes behind a keyword or a mark, if it is at hand.
func (c *clause) accept(what string) bool {
	if c.fault != nil || c.kw != what && !c.is(what) {
		return false
	}
	c.next()
	return true
}

func (c *clause) expect(what string) {
	if !c.accept(what) {
		c.expected(what)
	}
}

// name reads an identifier.
func (c *clause) name(what string) string {
	if c.t.kind != wordToken || c.kw != "" {
		c.expected(what)
		return ""
	}
	name := c.scan.word(c.t)
	if strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		c.fail(faultAt(c.t.start, "%s: %s has an empty part", c.what, shown(name)))
		return ""
	}
	c.next()
	return name
}

// image reads a name that holds an image, whose token is yet to come.
func (c *clause) image(what string) (string, int) {
	t, f := c.scan.image()
	c.set(t, f)
	if c.t.kind != wordToken || c.kw != "" {
		c.expected(what)
		return "", 0
	}
	return c.scan.word(t), t.start
}

func (c *clause) checkImage(image string, at int) {
	if problem := imageProblem(image); problem != "" && c.fault == nil {
		c.fail(faultAt(at, "%s: %s is no name of an image: %s", c.what, shown(image), problem))
	}
}

func (c *clause) train() {
	uri, at := c.image("a model, such as DNNClassifier or image/Estimator,")
	if c.fault != nil {
		return
	}
	c.st.Estimator = uri
	if i := strings.LastIndexByte(uri, '/'); i >= 0 {
		c.st.Image, c.st.Estimator = uri[:i], uri[i+1:]
		c.checkImage(c.st.Image, at)
		at += i + 1
	}
	if e := c.st.Estimator; c.fault == nil &&
		(e == "" || isDigit(e[0]) || strings.ContainsAny(e, "@") || strings.HasSuffix(e, ".") || strings.Contains(e, "..")) {
		c.fail(faultAt(at, "%s: %s does not end in the name of an estimator", c.what, shown(uri)))
	}
	c.next()
	with := c.accept("WITH")
	if with {
		c.attributes()
		c.columns()
	}
	label := c.kw == "LABEL"
	if label {
		c.label()
	}
	if !with && !label {
		c.expected("WITH or LABEL")
	}
	if c.accept("USING") {
		c.st.ModelIn = c.name("the name of a trained model")
	}
	c.expect("INTO")
	c.st.ModelOut = c.name("the name of the model to make")
}

func (c *clause) predict() {
	c.st.Into = c.name("the table and column to write")
	if c.accept("WITH") {
		c.attributes()
	}
	c.expect("USING")
	c.st.ModelIn = c.name("the name of a model")
}

func (c *clause) explain() {
	c.st.ModelIn = c.name("the name of a model")
	if c.accept("WITH") {
		c.attributes()
	}
	if c.accept("USING") {
		c.name("the name of an explainer")
	}
	if c.accept("INTO") {
		c.st.Into = c.name("the table to write")
	}
}

func (c *clause) evaluate() {
	c.st.ModelIn = c.name("the name of a model")
	if c.accept("WITH") {
		c.attributes()
	}
	c.label()
	c.expect("INTO")
	c.st.Into = c.name("the table to write")
}

func (c *clause) run() {
	image, at := c.image("the name of an image")
	c.checkImage(image, at)
	c.st.Image = image
	c.next()
	if !c.accept("CMD") {
		return
	}
	for {
		if c.t.kind != stringToken {
			c.expected("a string")
		}
		c.next()
		if !c.accept(",") {
			break
		}
	}
	if !c.accept("INTO") {
		return
	}
	tables := []string{c.name("the table to write")}
	for c.accept(",") {
		tables = append(tables, c.name("the table to write"))
	}
	c.st.Into = strings.Join(tables, ",")
}

func (c *clause) optimize() {
	c.expression(0)
	if c.accept("CONSTRAINT") {
		for {
			c.expression(0)
			if c.accept("GROUP") {
				c.expect("BY")
				c.name("a column")
			}
			if !c.accept(",") {
				break
			}
		}
	}
	c.expect("WITH")
	c.attributes()
	if c.accept("USING") {
		c.name("the name of a solver")
	}
	c.expect("INTO")
	c.st.Into = c.name("the table to write")
}

func (c *clause) label() {
	c.expect("LABEL")
	if c.t.kind == stringToken {
		c.next()
		return
	}
	c.name("a column")
}
