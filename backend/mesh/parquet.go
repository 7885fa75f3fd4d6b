package mesh

import (
	"fmt"
	"io"
)

func (v *validation) parquet(io.Reader) error {
	return fmt.Errorf("%w: parquet", ErrFormat)
}
