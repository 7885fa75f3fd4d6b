package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"weir/backend/features"
	"weir/backend/model"
	"weir/backend/wire"
	"weir/config"
)

// checkFeatures asks the store for one entity's features.
func checkFeatures(ctx context.Context, f *config.Features) []Row {
	const what = "feature store"
	deadline, _ := ctx.Deadline()
	// With the whole deadline first, so that a slow store is told from one that is away.
	ask := func(names []string) (time.Duration, error) {
		client := newHTTPClient()
		defer client.CloseIdleConnections()
		asked := *f
		asked.Names, asked.Timeout, asked.Categories = names, time.Until(deadline), nil
		store, err := wire.Asked(&asked, client)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		rows := make([]*features.Row, 1)
		err = store.Fetch(ctx, []features.Entity{{Key: "weir-check"}}, rows)
		if err != nil && !errors.Is(err, features.ErrUnavailable) { // the entity may be a number there
			began = time.Now()
			if store.Fetch(ctx, []features.Entity{{Key: "0", Numeric: true}}, rows) == nil {
				err = nil
			}
		}
		return time.Since(began), err
	}
	took, err := ask(f.Names)
	switch {
	case err == nil && took > f.Timeout:
		return []Row{row(Warning, what, fmt.Sprintf("%s answers, but took %s for one user", f.URL, millis(took)),
			fmt.Sprintf("raise features.timeout (%v), or make the store faster", f.Timeout))}
	case err == nil:
		return []Row{row(OK, what, fmt.Sprintf("%s answers in %s and knows the %d features", f.URL, millis(took), len(f.Names)), "")}
	case errors.Is(err, features.ErrConfiguration):
		if unknown := unknownFeatures(f.Names, ask); len(unknown) > 0 {
			return []Row{row(Failed, what, fmt.Sprintf("%s does not know %s", f.URL, listFirst(unknown)),
				"correct features.names, or `feast apply` what is missing")}
		}
		return []Row{row(Failed, what, err.Error(), "compare features.url, entity and names with the store's")}
	case errors.Is(err, features.ErrUnavailable) && !strings.Contains(err.Error(), "status"):
		found, do := reach(err)
		return []Row{row(Failed, what, f.URL+": "+found, do)}
	default:
		return []Row{row(Failed, what, err.Error(), "is features.url a Feast feature server?")}
	}
}

// unknownFeatures asks for each name alone and gives those that are refused.
func unknownFeatures(names []string, ask func([]string) (time.Duration, error)) (unknown []string) {
	for _, name := range names {
		if _, err := ask([]string{name}); errors.Is(err, features.ErrConfiguration) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// checkModel loads the model file, or asks the model server.
func checkModel(ctx context.Context, c *config.Config) []Row {
	if c.Model.Inference != nil {
		return checkInference(ctx, c)
	}
	const what = "model"
	m, err := wire.Model(c.Model)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return []Row{row(Failed, what, c.Model.ONNX+" is not there", "export the model to that file, or correct model.onnx")}
	case err != nil:
		return []Row{row(Failed, what, err.Error(), "export the classifier to ONNX with its probabilities (skl2onnx, onnxmltools)")}
	}
	d := m.Describe()
	found := fmt.Sprintf("%s: %s", c.Model.ONNX, d.Kind)
	if d.Producer != "" {
		found += " by " + d.Producer
	}
	if c.Features == nil {
		return []Row{row(OK, what, found, "")}
	}
	if _, err := m.Bind(model.Columns(c.Features.Names, d.Inputs)); err != nil {
		return []Row{row(Failed, what, c.Model.ONNX+": "+err.Error(), "put features.names in the order of the model's inputs, or export the model again")}
	}
	return []Row{row(OK, what, fmt.Sprintf("%s, takes the %d features", found, len(c.Features.Names)), "")}
}

// checkInference asks an Open Inference Protocol server whether it and the model are ready.
func checkInference(ctx context.Context, c *config.Config) []Row {
	const what = "model server"
	i := c.Model.Inference
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	began := time.Now()
	for _, path := range []string{"/v2/health/ready", "/v2/models/" + i.Name + "/ready"} {
		status, err := get(ctx, client, http.MethodGet, i.URL+path, i.Token.Reveal())
		switch {
		case err != nil:
			found, do := reach(err)
			return []Row{row(Failed, what, i.URL+": "+found, do)}
		case status.code == http.StatusOK:
		case strings.Contains(path, "/models/") && (status.code == http.StatusNotFound || status.code == http.StatusBadRequest):
			return []Row{row(Failed, what, fmt.Sprintf("%s has no model %q that is ready (%s)", i.URL, i.Name, status.text),
				"load the model there, or correct model.inference.name")}
		case status.code == http.StatusNotFound:
			return []Row{row(Failed, what, fmt.Sprintf("%s does not know %s", i.URL, path), "is it an Open Inference Protocol (v2) server? leave /v2 out of the URL")}
		default:
			return []Row{row(Failed, what, fmt.Sprintf("%s is not ready: %s to %s", i.URL, status.text, path), "wait for it, or read its log")}
		}
	}
	found := fmt.Sprintf("%s is ready and so is %s, in %s", i.URL, i.Name, millis(time.Since(began)))
	if c.Features == nil {
		return []Row{row(OK, what, found, "")}
	}
	asked := *i
	if deadline, ok := ctx.Deadline(); ok {
		asked.Timeout = min(i.Timeout, time.Until(deadline))
	}
	m, err := wire.Model(&config.Model{Inference: &asked})
	if err == nil {
		_, err = m.Bind(model.Columns(c.Features.Names, m.Describe().Inputs))
	}
	if err != nil {
		return []Row{row(Failed, what, err.Error(), "put features.names in the order of the model's inputs, or correct the model")}
	}
	return []Row{row(OK, what, fmt.Sprintf("%s, takes the %d features", found, len(c.Features.Names)), "")}
}

// checkCloud asks for the address without sending data. Any answer means that it is there.
func checkCloud(ctx context.Context, c *config.Cloud) []Row {
	const what = "cloud"
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	began := time.Now()
	status, err := get(ctx, client, http.MethodHead, c.URL, c.Token.Reveal())
	if err != nil {
		found, do := reach(err)
		return []Row{row(Failed, what, c.URL+": "+found, strings.TrimSpace(do+" (aggregates wait in the outbox meanwhile)"))}
	}
	found := fmt.Sprintf("%s answers in %s (%s to HEAD)", c.URL, millis(time.Since(began)), status.text)
	switch {
	case status.code == http.StatusUnauthorized || status.code == http.StatusForbidden:
		return []Row{row(Warning, what, found, "does it take this token for POST too? check edge.cloud.token")}
	case status.code >= 300 && status.code < 400:
		return []Row{row(Warning, what, found+", to "+status.location, "redirects are not followed: write the final URL")}
	case status.code >= 500 && status.code != http.StatusNotImplemented:
		return []Row{row(Warning, what, found, "it is there, but not well; aggregates wait in the outbox meanwhile")}
	}
	return []Row{row(OK, what, found, "")}
}

type answer struct {
	code           int
	text, location string
}

// get sends one request without a body and does not follow redirects.
func get(ctx context.Context, client *http.Client, method, url, token string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("User-Agent", "weir")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10) // so that the connection can be used again
	_ = response.Body.Close()
	return answer{response.StatusCode, response.Status, response.Header.Get("Location")}, nil
}

func newHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{}).DialContext, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// listFirst writes the first few of a list and how many more there are.
func listFirst(all []string) string {
	const shown = 5
	if len(all) <= shown {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], ", "), len(all)-shown)
}
