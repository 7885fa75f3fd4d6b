package check

import (
	"errors"
	"fmt"
	"os"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
	"weir/backend/mesh"
	"weir/config"
)

// shownProducts bounds the rows about single product files.
const shownProducts = 5

// checkRegistry reads every product file.
func checkRegistry(c *config.Mesh) []Row {
	const what = "data products"
	registry, err := mesh.OpenRegistry(c.Registry)
	if err != nil {
		if _, statErr := os.Stat(c.Registry); errors.Is(statErr, os.ErrNotExist) {
			return []Row{row(Failed, what, "the folder "+c.Registry+" is not there", "make it, or correct mesh.registry")}
		}
		return []Row{row(Failed, what, err.Error(), "correct mesh.registry")}
	}
	defer func() { _ = registry.Close() }()
	entries, _, err := registry.Scan()
	if err != nil {
		return []Row{row(Failed, what, err.Error(), "make the folder readable for this user")}
	}
	var bad []mesh.Entry
	domains := map[string]bool{}
	for _, e := range entries {
		if e.Domain != mesh.NoDomain {
			domains[e.Domain] = true
		}
		if e.Err != nil {
			bad = append(bad, e)
		}
	}
	found := fmt.Sprintf("%s in %s, in %s", plural(len(entries)-len(bad), "product"), plural(len(domains), "domain"), c.Registry)
	switch {
	case len(entries) == 0:
		return []Row{row(Warning, what, c.Registry+" holds no product", "register one: weir products register FILE")}
	case len(bad) == 0:
		return []Row{row(OK, what, found, "")}
	}
	rows := []Row{row(Failed, what, fmt.Sprintf("%s; %s cannot be read", found, plural(len(bad), "file")), "see the files below, or run weir products lint")}
	for i, e := range bad {
		if i == shownProducts {
			rows = append(rows, row(Failed, "…", fmt.Sprintf("and %d more files", len(bad)-i), ""))
			break
		}
		rows = append(rows, row(Failed, "product "+e.Path, e.Err.Error(), "correct the file"))
	}
	return rows
}

const feedsWhat = "products' topics"

// checkFeeds tells which products are judged on a live topic: the one they name, else the one of their name.
func checkFeeds(c *config.Mesh, admin *kafka.Admin) []Row {
	registry, err := mesh.OpenRegistry(c.Registry)
	if err != nil {
		return []Row{row(Skipped, feedsWhat, "the registry cannot be read", "")}
	}
	defer func() { _ = registry.Close() }()
	entries, _, err := registry.Scan()
	if err != nil {
		return []Row{row(Skipped, feedsWhat, "the registry cannot be read", "")}
	}
	live, files := 0, 0
	var missing []string
	for _, e := range entries {
		if e.Product == nil {
			continue
		}
		topic := e.Product.Topic
		if topic == "" {
			topic = e.Product.Name
		}
		_, err := admin.Partitions(topic)
		switch {
		case err == nil:
			live++
		case e.Product.Topic == "" && (errors.Is(err, kafka.ErrNoTopic) || errors.Is(err, sarama.ErrInvalidTopic)):
			files++
		case errors.Is(err, kafka.ErrNoTopic), errors.Is(err, sarama.ErrInvalidTopic):
			missing = append(missing, topic+" of "+e.Product.Key())
		default:
			return []Row{row(Failed, feedsWhat, err.Error(), "may this user describe the topics?")}
		}
	}
	found := fmt.Sprintf("%s judged live", plural(live, "product"))
	if files > 0 {
		found += fmt.Sprintf(", %d on files only", files)
	}
	if len(missing) > 0 {
		return []Row{row(Warning, feedsWhat, found+"; there is no topic "+listFirst(missing), "create the topic, or correct the product's server")}
	}
	return []Row{row(OK, feedsWhat, found, "")}
}
