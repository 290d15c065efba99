package handlers

import _ "embed"

//go:embed openapi.yaml
var openAPIDescription string

// openAPI answers GET /api/openapi.yaml. The media type is RFC 9512's.
func (a *API) openAPI(x *exchange) error {
	x.replyText("application/yaml", openAPIDescription)
	return nil
}
