package picture

import (
	"image"
	"image/color"
	"image/draw"
	"math"
)

// shape draws the signs that must meet their neighbours, or that the font lacks; it tells whether r is one of them.
func shape(img *image.RGBA, at image.Rectangle, r rune, ink color.RGBA) bool {
	switch {
	case r >= 0x2800 && r <= 0x28ff:
		braille(img, at, byte(r-0x2800), ink)
	case r >= 0x2581 && r <= 0x2588: // from below, in eighths
		h := at.Dy() * int(r-0x2580) / 8
		fill(img, image.Rect(at.Min.X, at.Max.Y-h, at.Max.X, at.Max.Y), ink)
	case r >= 0x2589 && r <= 0x258f: // from the left, in eighths
		fill(img, image.Rect(at.Min.X, at.Min.Y, at.Min.X+at.Dx()*int(0x2590-r)/8, at.Max.Y), ink)
	case r == '▀':
		fill(img, image.Rect(at.Min.X, at.Min.Y, at.Max.X, at.Min.Y+at.Dy()/2), ink)
	case r == '▐':
		fill(img, image.Rect(at.Min.X+at.Dx()/2, at.Min.Y, at.Max.X, at.Max.Y), ink)
	case r >= '░' && r <= '▓':
		shade(img, at, int(r-'░')+1, ink)
	case r == '┆':
		for y := at.Min.Y + 1; y < at.Max.Y; y += 6 {
			fill(img, image.Rect(middle(at).X, y, middle(at).X+1, min(y+4, at.Max.Y)), ink)
		}
	case r == '❚':
		fill(img, image.Rect(at.Min.X+3, at.Min.Y+4, at.Max.X-2, at.Max.Y-5), ink)
	case r == '●' || r == '○':
		disc(img, at, r == '●', ink)
	case r == '▲':
		for i := range 9 {
			fill(img, image.Rect(at.Min.X+4-i/2, at.Min.Y+5+i, at.Min.X+5+i/2, at.Min.Y+6+i), ink)
		}
	case r == '✕':
		stroke(img, at, ink, 1.5, 6, 7.5, 13)
		stroke(img, at, ink, 7.5, 6, 1.5, 13)
	case r == '✓':
		stroke(img, at, ink, 1, 10, 3.5, 13.5)
		stroke(img, at, ink, 3.5, 13.5, 8, 5.5)
	default:
		arms, ok := boxes[r]
		if !ok {
			return false
		}
		box(img, at, arms, ink)
	}
	return true
}

// boxes are the arms of the lines: up, right, down, left; 2 is a heavy one; the fifth is 1 for a rounded corner.
var boxes = map[rune][5]int{
	'─': {0, 1, 0, 1, 0}, '│': {1, 0, 1, 0, 0}, '┃': {2, 0, 2, 0, 0}, '━': {0, 2, 0, 2, 0},
	'┌': {0, 1, 1, 0, 0}, '┐': {0, 0, 1, 1, 0}, '└': {1, 1, 0, 0, 0}, '┘': {1, 0, 0, 1, 0},
	'╭': {0, 1, 1, 0, 1}, '╮': {0, 0, 1, 1, 1}, '╰': {1, 1, 0, 0, 1}, '╯': {1, 0, 0, 1, 1},
	'├': {1, 1, 1, 0, 0}, '┤': {1, 0, 1, 1, 0}, '┬': {0, 1, 1, 1, 0}, '┴': {1, 1, 0, 1, 0}, '┼': {1, 1, 1, 1, 0},
	'╴': {0, 0, 0, 1, 0}, '╵': {1, 0, 0, 0, 0}, '╶': {0, 1, 0, 0, 0}, '╷': {0, 0, 1, 0, 0},
}

func middle(at image.Rectangle) image.Point { return image.Pt(at.Min.X+at.Dx()/2, at.Min.Y+at.Dy()/2) }

func fill(img *image.RGBA, r image.Rectangle, ink color.RGBA) {
	draw.Draw(img, r, image.NewUniform(ink), image.Point{}, draw.Src)
}

func box(img *image.RGBA, at image.Rectangle, arms [5]int, ink color.RGBA) {
	c, cut := middle(at), arms[4]*3
	thick := func(n int) int { return max(n-1, 0) }
	if n := arms[0]; n > 0 {
		fill(img, image.Rect(c.X, at.Min.Y, c.X+1+thick(n), c.Y+1-cut), ink)
	}
	if n := arms[2]; n > 0 {
		fill(img, image.Rect(c.X, c.Y+cut, c.X+1+thick(n), at.Max.Y), ink)
	}
	if n := arms[1]; n > 0 {
		fill(img, image.Rect(c.X+cut, c.Y, at.Max.X, c.Y+1+thick(n)), ink)
	}
	if n := arms[3]; n > 0 {
		fill(img, image.Rect(at.Min.X, c.Y, c.X+1-cut, c.Y+1+thick(n)), ink)
	}
	if cut == 0 {
		return
	}
	dx, dy := 1, 1 // the corner's middle lies this way from the bend
	if arms[3] > 0 {
		dx = -1
	}
	if arms[0] > 0 {
		dy = -1
	}
	for _, p := range [][2]int{{0, 3}, {0, 2}, {1, 1}, {2, 0}, {3, 0}} {
		x, y := c.X+dx*p[0], c.Y+dy*p[1]
		fill(img, image.Rect(x, y, x+1, y+1), ink)
	}
}

// braille's dots go down two columns, then along the bottom.
func braille(img *image.RGBA, at image.Rectangle, dots byte, ink color.RGBA) {
	for i, p := range [8][2]int{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {0, 3}, {1, 3}} {
		if dots>>i&1 == 0 {
			continue
		}
		x, y := at.Min.X+1+p[0]*4, at.Min.Y+1+p[1]*at.Dy()/4
		fill(img, image.Rect(x, y, x+3, y+3), ink)
	}
}

func shade(img *image.RGBA, at image.Rectangle, quarters int, ink color.RGBA) {
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			under := img.RGBAAt(x, y)
			img.SetRGBA(x, y, Mix(under, ink, float64(quarters)/4))
		}
	}
}

// Mix is the colour a share of the way from one to another.
func Mix(a, b color.RGBA, share float64) color.RGBA {
	part := func(x, y uint8) uint8 { return uint8(math.Round(float64(x) + (float64(y)-float64(x))*share)) }
	return color.RGBA{part(a.R, b.R), part(a.G, b.G), part(a.B, b.B), 255}
}

func disc(img *image.RGBA, at image.Rectangle, full bool, ink color.RGBA) {
	soft(img, at, ink, func(x, y float64) float64 {
		d := math.Hypot(x-4.5, y-9.5)
		if full {
			return 3.9 - d + 0.5
		}
		return 0.9 - math.Abs(d-3.2) + 0.2
	})
}

func stroke(img *image.RGBA, at image.Rectangle, ink color.RGBA, x0, y0, x1, y1 float64) {
	dx, dy := x1-x0, y1-y0
	soft(img, at, ink, func(x, y float64) float64 {
		t := min(max(((x-x0)*dx+(y-y0)*dy)/(dx*dx+dy*dy), 0), 1)
		return 1.3 - math.Hypot(x-x0-t*dx, y-y0-t*dy)
	})
}

// soft inks the pixels of a cell by how much of each is covered, which may be beyond 0 and 1.
func soft(img *image.RGBA, at image.Rectangle, ink color.RGBA, cover func(x, y float64) float64) {
	for y := range at.Dy() {
		for x := range at.Dx() {
			if share := min(max(cover(float64(x)+0.5, float64(y)+0.5), 0), 1); share > 0 {
				px, py := at.Min.X+x, at.Min.Y+y
				img.SetRGBA(px, py, Mix(img.RGBAAt(px, py), ink, share))
			}
		}
	}
}
