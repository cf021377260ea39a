// Looks at a page for pages.py, from a world of its own: each function lists what is wrong, or what is there.
globalThis.look = (() => {
    const CONTROLS = "a[href], button, input, select, textarea, summary";

    const isSeen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    const all = (selector) => [...document.querySelectorAll(selector)].filter(isSeen);
    const boxOf = (element) => element.getBoundingClientRect();

    function named(element) {
        const { innerText, id, className } = element;
        const text = (element.getAttribute("aria-label") || innerText || id || className || "").trim();
        return `<${element.localName}> ${text.slice(0, 40)}`;
    }

    function* texts(within = document.body) {
        const walker = document.createTreeWalker(within, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            if (walker.currentNode.data.trim() && isSeen(walker.currentNode.parentElement)) {
                yield walker.currentNode;
            }
        }
    }

    // Colours (WCAG 2.2, 1.4.3 and 1.4.11)

    function parse(color) {
        const [, space, numbers] = color.match(/^(rgba?)\(([\d., ]+)\)$/) ?? [];
        if (!space) {
            throw new Error(`no one can measure ${color}`);
        }
        const [red, green, blue, alpha = 1] = numbers.split(",").map(Number);
        return { parts: [red, green, blue], alpha };
    }

    const over = ({ parts, alpha }, back) => parts.map((part, index) => part * alpha + back[index] * (1 - alpha));

    function backdrop(element) {
        const color = parse(getComputedStyle(element).backgroundColor);
        if (color.alpha === 1) {
            return color.parts;
        }
        return over(color, element.parentElement ? backdrop(element.parentElement) : [255, 255, 255]);
    }

    function luminance(parts) {
        const linear = (part) => (part <= 10.31475 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4);
        const [red, green, blue] = parts.map(linear);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    }

    function contrast(one, other) {
        const [dark, light] = [luminance(one), luminance(other)].sort((left, right) => left - right);
        return (light + 0.05) / (dark + 0.05);
    }

    function ratio(element, property, back) {
        return contrast(over(parse(getComputedStyle(element)[property]), back), back);
    }

    function faint() {
        const wrong = [];
        function demand(element, what, got, least) {
            if (got < least) {
                wrong.push(`${what} of ${named(element)} is ${got.toFixed(2)}:1`);
            }
        }
        for (const element of new Set([...texts()].map((text) => text.parentElement).concat(all("input, select")))) {
            const style = getComputedStyle(element);
            const size = parseFloat(style.fontSize);
            const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
            demand(element, "the text", ratio(element, "color", backdrop(element)), isLarge ? 3 : 4.5);
        }
        for (const element of all("input, select")) {
            demand(element, "the edge", ratio(element, "borderTopColor", backdrop(element.parentElement)), 3);
        }
        return wrong;
    }

    // Room

    function escapes(text) {
        const range = document.createRange();
        range.selectNodeContents(text);
        for (let around = text.parentElement; around !== document.documentElement; around = around.parentElement) {
            if (["inline", "contents"].includes(getComputedStyle(around).display)) {
                continue;
            }
            const box = boxOf(around);
            // Letters of some fonts are higher than their lines.
            const isOut = ({ left, right, top, bottom }) =>
                left < box.left - 1 || right > box.right + 1 || top < box.top - 5 || bottom > box.bottom + 5;
            if ([...range.getClientRects()].some(isOut)) {
                return around;
            }
        }
        return null;
    }

    function cramped(width) {
        const wrong = [];
        const wide = document.documentElement.scrollWidth;
        if (wide > width) {
            wrong.push(`the page is ${wide} wide`);
        }
        for (const text of texts()) {
            const around = text.parentElement.closest("select") ? null : escapes(text);
            if (around) {
                wrong.push(`“${text.data.trim().slice(0, 40)}” sticks out of ${named(around)}`);
            }
        }
        for (const element of all("body *:not(input, select, svg, svg *)")) {
            const { scrollWidth, clientWidth, scrollHeight, clientHeight } = element;
            const isFull = scrollWidth > clientWidth + 1 || scrollHeight > clientHeight + 1;
            if (isFull && getComputedStyle(element).overflow !== "visible") {
                wrong.push(`${named(element)} is cut off`);
            }
        }
        return wrong;
    }

    const controls = () => all(CONTROLS).filter((element) => !element.disabled);

    function small() {
        const sized = controls().map((element) => ({ name: named(element), ...boxOf(element).toJSON() }));
        const wrong = sized.filter(({ width, height }) => width < 24 || height < 24);
        return wrong.map(({ name, width, height }) => `${name} is ${width} x ${height}`);
    }

    // From top to bottom, in a row from left to right, and nothing on top of another.
    function astray() {
        const every = controls();
        const isAstray = (after, before) =>
            after.top < before.bottom - 1 && (after.left < before.right - 1 || after.bottom < before.top + 1);
        const wrong = every.slice(1).filter((element, index) => isAstray(boxOf(element), boxOf(every[index])));
        return wrong.map((element) => `${named(element)} is not below or beside what comes before it`);
    }

    // The keyboard

    const ring = ({ outlineStyle, outlineWidth, outlineColor }) => `${outlineStyle} ${outlineWidth} ${outlineColor}`;
    let rest = new Map();

    function prepare() {
        document.activeElement?.blur();
        rest = new Map(controls().map((element) => [element, ring(getComputedStyle(element))]));
        return [...rest.keys()].map(named);
    }

    function focus() {
        const element = document.activeElement;
        const style = getComputedStyle(element);
        const box = boxOf(element);
        const isNew = rest.get(element) !== ring(style);
        const isDrawn = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        const middle = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return {
            at: [...rest.keys()].indexOf(element),
            plain: isNew && isDrawn && ratio(element, "outlineColor", backdrop(element.parentElement)) >= 3,
            there: box.top > -1 && box.bottom < innerHeight + 1 && element.contains(middle),
        };
    }

    // Words

    function words() {
        const names = ["aria-label", "title", "placeholder", "alt"];
        const marked = [...document.querySelectorAll(names.map((name) => `[${name}]`).join())];
        const said = marked.flatMap((element) => names.map((name) => element.getAttribute(name)).filter(Boolean));
        const other = "[aria-hidden=true], [lang]:not(html), code";
        const plain = [...texts()].filter((text) => !text.parentElement.closest(other));
        return [document.title, ...said, ...plain.map((text) => text.data)];
    }

    // It looks one of its messages up under another name than it has, and then fails.
    const translate = HTMLCS.getTranslation.bind(HTMLCS);
    HTMLCS.getTranslation = (key) => translate(key) ?? key;

    // It knows HTML 5.2, where an address was not yet a name to sign in with, and names fields that nobody ever meets.
    const isOld = ({ code, element }) =>
        code.endsWith("1_3_5.H98") && element.matches("[type=email][autocomplete=username]");
    const isMeant = (one) => one.type === HTMLCS.ERROR && !isOld(one) && !one.element.matches?.("[hidden]");

    function sniff() {
        const told = ({ code, msg, element }) => `${code}: ${msg} ${element.outerHTML?.slice(0, 120)}`;
        return new Promise((done, fail) => {
            const finish = () => done(HTMLCS.getMessages().filter(isMeant).map(told));
            HTMLCS.process("WCAG2AA", document, finish, () => fail(new Error("HTML_CodeSniffer fails")));
        });
    }

    return {
        faint, cramped, small, astray, prepare, focus, words, sniff,
        language: () => document.documentElement.lang,
        light: () => luminance(backdrop(document.body)),
    };
})();
