package handlers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	"carillon/handlers/web"
	"carillon/models"
)

// TokenRequest is the body of the two routes that make a token.
type TokenRequest struct {
	Secret     string `json:"secret"`
	UserID     string `json:"userID"`
	PlatformID int    `json:"platformID"`
}

// TokenAnswer is a token, and how long it is good.
type TokenAnswer struct {
	ExpireTimeSeconds int64  `json:"expireTimeSeconds"`
	Token             string `json:"token"`
}

func tokenAnswer(token string) TokenAnswer { return TokenAnswer{int64(web.TokenLife.Seconds()), token} }

// getAdminToken makes an admin's token for who knows the secret.
func (a *API) getAdminToken(in *web.In) error {
	var token, userID string
	err := a.Throttled(in, func() (err error) {
		token, userID, err = a.adminTokenFor(in)
		return err
	})
	if err != nil {
		return err
	}
	a.Record(in.Context(), in.Call, userID, models.Event{Kind: models.EventTokenIssued, Data: models.EventData{"userID": userID, "admin": true}})
	return in.Answer(http.StatusOK, tokenAnswer(token))
}

// adminTokenFor makes the token that a body with the right secret asks for, and says for whom.
func (a *API) adminTokenFor(in *web.In) (token, userID string, err error) {
	req, err := tokenRequest(in)
	if err != nil {
		return "", "", err
	}
	given, ours := sha256.Sum256([]byte(req.Secret)), sha256.Sum256([]byte(a.Secret))
	if subtle.ConstantTimeCompare(given[:], ours[:]) != 1 || !a.IsAdmin(req.UserID) {
		return "", "", models.Errorf(models.CodeNoPermission, "the secret is wrong or the user is not an admin")
	}
	token, err = web.AdminToken(a.Secret, req.UserID)
	return token, req.UserID, err
}

// tokenRequest reads a TokenRequest. A field that is none of its own is ignored, as OpenIM does.
func tokenRequest(in *web.In) (req TokenRequest, err error) {
	body, err := in.Body(web.LoginBody)
	if err != nil {
		return req, err
	}
	err = web.AsBindError(web.Decode(body, &req, web.IgnoreUnknown))
	return req, err
}

// GetUserToken makes a token that opens one user's inbox.
func (a *API) GetUserToken(ctx context.Context, call web.Call, req TokenRequest) (answer TokenAnswer, err error) {
	if why := models.CheckID(req.UserID); why != "" {
		return answer, models.Invalid([]models.FieldError{{Field: "userID", Reason: why}})
	}
	if a.IsAdmin(req.UserID) {
		return answer, models.Errorf(models.CodeNoPermission, "an admin's token comes from /auth/get_admin_token")
	}
	if req.PlatformID < 0 || req.PlatformID > web.MaxUserPlatform {
		return answer, models.Invalid([]models.FieldError{{Field: "platformID", Reason: "must be 0 to 9; 10 is the admins'"}})
	}
	user, err := a.Store.User(ctx, req.UserID)
	if err != nil {
		return answer, err
	}
	token, err := web.UserToken(a.Secret, user, req.PlatformID)
	if err != nil {
		return answer, err
	}
	a.Record(ctx, call, call.UserID, models.Event{Kind: models.EventTokenIssued, Data: models.EventData{"userID": user.UserID, "admin": false}})
	return tokenAnswer(token), nil
}
