//! Files that are uploaded.

words! {
    discard: "Discard", "Verwerfen";
    file: "File", "Datei";
    going: "%1 percent of the file are uploaded. Leave this page open.", "%1 Prozent der Datei sind hochgeladen. Diese Seite offen lassen.";
    hint: "A package, a licence or a path bundle from this computer. It is checked as every other one, and staged.", "Ein Paket, eine Lizenz oder ein Bündel von diesem Computer. Es wird geprüft wie jedes andere und bereitgelegt.";
    manual: "Manual installation", "Manuelle Installation";
    unfinished: "Unfinished uploads", "Unfertige Uploads";
    unfinished_hint: "Choose the same file again to go on. What nobody goes on with is removed after a day.", "Dieselbe Datei noch einmal wählen, um fortzufahren. Was niemand fortsetzt, wird nach einem Tag entfernt.";
    upload: "Upload", "Hochladen";
    waiting: "The appliance does not answer. The upload goes on by itself.", "Das Gerät antwortet nicht. Das Hochladen geht von selbst weiter.";
}
