package handlers

const plainText = "text/plain; charset=utf-8"

// hello answers GET /, as the Python server did.
func (a *API) hello(x *exchange) error {
	x.replyText(plainText, "Hello, SQLFlow Playground!")
	return nil
}
