// An API of your own, on Go with go-oidc: GET / answers whose token it is. Environment: ISSUER, AUDIENCE, PORT.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

type claims struct {
	Subject string `json:"sub"`
	Scope   string `json:"scope"`
}

// isAccessToken tells an access token (RFC 9068) from an ID token, which the same keys may sign.
func isAccessToken(token string) bool {
	part, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(part)
	var header struct {
		Type string `json:"typ"`
	}
	return err == nil && json.Unmarshal(text, &header) == nil && header.Type == "at+jwt"
}

func verify(ctx context.Context, verifier *oidc.IDTokenVerifier, header string) (*claims, error) {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || !isAccessToken(token) {
		return nil, errors.New("no access token")
	}
	// Signature, issuer, audience and expiry.
	verified, err := verifier.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	var found claims
	if err := verified.Claims(&found); err != nil {
		return nil, err
	}
	return &found, nil
}

func main() {
	issuer := os.Getenv("ISSUER")
	// Fetched again for a key that is not in it.
	keys := oidc.NewRemoteKeySet(context.Background(), issuer+"/.well-known/jwks.json")
	verifier := oidc.NewVerifier(issuer, keys, &oidc.Config{
		ClientID:             os.Getenv("AUDIENCE"),
		SupportedSigningAlgs: []string{"RS256"},
	})
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		found, err := verify(request.Context(), verifier, request.Header.Get("Authorization"))
		if err != nil {
			response.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			response.WriteHeader(http.StatusUnauthorized)
			return
		}
		response.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(response).Encode(found)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
