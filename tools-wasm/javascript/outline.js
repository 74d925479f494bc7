// A Longhaul tool in JavaScript: typed exports, no SDK. What is thrown is the `err` of a result.

export const outlines = {
    outline(markdown) {
        const headings = [];
        let fence = null;
        for (const line of markdown.split(/\r?\n/)) {
            const mark = line.match(/^ {0,3}(```|~~~)/)?.[1];
            if (mark && (fence === null || fence === mark)) {
                fence = fence === null ? mark : null;
                continue;
            }
            const heading = fence === null && line.match(/^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/);
            if (heading) {
                headings.push({ level: heading[1].length, title: heading[2], slug: slug(heading[2]) });
            }
        }
        return headings;
    },

    fillTemplate(template, values) {
        let given;
        try {
            given = JSON.parse(values);
        } catch (error) {
            throw `values is no JSON: ${error.message}`;
        }
        return template.replace(/\{\{\s*([\w-]+)\s*\}\}/g, (_, name) => {
            if (!Object.hasOwn(given ?? {}, name)) {
                throw `the template wants {{${name}}}, and values has no "${name}"`;
            }
            const value = given[name];
            return typeof value === "string" ? value : JSON.stringify(value);
        });
    },
};

function slug(title) {
    // Without \p{…}: the engine has no tables of Unicode's properties.
    return title.toLowerCase().replace(/[!-,./:-@[-^`{-~]/g, "").trim().replace(/\s+/g, "-");
}
