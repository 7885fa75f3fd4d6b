// Package picture draws the screen of a terminal as an image: text in Go Mono, which is part of its module, and what
// consoles draw with (boxes, blocks, braille) exactly from edge to edge of its cells, as a terminal does.
package picture

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"unicode/utf8"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// Cell is one character of a screen, Width columns wide. The second column of a wide one has no Text.
type Cell struct {
	Text   string
	Width  int
	Fg, Bg color.RGBA
	Bold   bool
}

// The size of a cell and of the margin around a screen, in pixels.
const (
	CellWidth  = 9
	CellHeight = 19
	Margin     = 12

	fontSize = 15 // Go Mono's characters are 0.6 of it wide
	baseline = 14
)

// Artist draws screens. It is not safe for concurrent use.
type Artist struct {
	faces [2]font.Face
	masks map[mask]*image.Alpha
}

type mask struct {
	r    rune
	bold bool
}

// New makes an artist. An error would be of the fonts in this program.
func New() (*Artist, error) {
	a := &Artist{masks: map[mask]*image.Alpha{}}
	for i, data := range [][]byte{gomono.TTF, gomonobold.TTF} {
		parsed, err := opentype.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("font: %w", err)
		}
		if a.faces[i], err = opentype.NewFace(parsed, &opentype.FaceOptions{Size: fontSize, DPI: 72, Hinting: font.HintingFull}); err != nil {
			return nil, fmt.Errorf("font: %w", err)
		}
	}
	return a, nil
}

// Draw is the picture of a screen on a background.
func (a *Artist) Draw(rows [][]Cell, background color.RGBA) *image.RGBA {
	columns := 0
	for _, row := range rows {
		columns = max(columns, len(row))
	}
	img := image.NewRGBA(image.Rect(0, 0, columns*CellWidth+2*Margin, len(rows)*CellHeight+2*Margin))
	draw.Draw(img, img.Bounds(), image.NewUniform(background), image.Point{}, draw.Src)
	for y, row := range rows {
		for x := 0; x < len(row); x++ {
			c := row[x]
			at := image.Rect(0, 0, CellWidth*max(c.Width, 1), CellHeight).Add(image.Pt(Margin+x*CellWidth, Margin+y*CellHeight))
			if c.Bg != background {
				draw.Draw(img, at, image.NewUniform(c.Bg), image.Point{}, draw.Src)
			}
			a.glyph(img, at, c)
		}
	}
	return img
}

func (a *Artist) glyph(img *image.RGBA, at image.Rectangle, c Cell) {
	r, _ := utf8.DecodeRuneInString(c.Text)
	if c.Text == "" || r == ' ' {
		return
	}
	ink := image.NewUniform(c.Fg)
	if shape(img, at, r, c.Fg) {
		return
	}
	key := mask{r, c.Bold}
	m, known := a.masks[key]
	if !known {
		m = a.mask(r, c.Bold, at.Dx())
		a.masks[key] = m
	}
	if m == nil { // the font has no such sign: a box stands for it
		frame := at.Inset(3)
		for _, side := range []image.Rectangle{{frame.Min, image.Pt(frame.Max.X, frame.Min.Y+1)}, {image.Pt(frame.Min.X, frame.Max.Y-1), frame.Max},
			{frame.Min, image.Pt(frame.Min.X+1, frame.Max.Y)}, {image.Pt(frame.Max.X-1, frame.Min.Y), frame.Max}} {
			draw.Draw(img, side, ink, image.Point{}, draw.Src)
		}
		return
	}
	draw.DrawMask(img, at, ink, image.Point{}, m, image.Point{}, draw.Over)
}

// mask is a sign of the font, nil where the font lacks it.
func (a *Artist) mask(r rune, bold bool, width int) *image.Alpha {
	face := a.faces[map[bool]int{true: 1}[bold]]
	if _, ok := face.GlyphAdvance(r); !ok {
		return nil
	}
	m := image.NewAlpha(image.Rect(0, 0, width, CellHeight))
	d := font.Drawer{Dst: m, Src: image.Opaque, Face: face, Dot: fixed.P(0, baseline)}
	d.DrawString(string(r))
	return m
}
